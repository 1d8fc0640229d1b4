"""The `limbeck` command: the service, its keys and its database for who runs it, and the main job for who uses it.

    limbeck serve
    limbeck run --labels birds.txt --domain birds --images birds --teacher ViT-B-32:openai --out student

Exit codes: 0 done; 1 the service or the machine failed; 2 the command was given something wrong. Every error is one
line on stderr. The rooms that a command needs are imported when it runs, so that `--help` is quick.
"""

import os
import sys
from collections.abc import Sequence

import typer

from limbeck.commands import attributes, classify, enrich, jobs, operate, prove, run, serve
from limbeck.commands.common import BadInput, Failed

cli = typer.Typer(
    name="limbeck",
    help="A small image model that understands words, from a list of labels and a folder of images.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
cli.command("serve")(serve.serve)
cli.command("run")(run.run)
cli.command("enrich")(enrich.enrich)
cli.command("jobs")(jobs.jobs)
cli.command("job")(jobs.job)
cli.command("cancel")(jobs.cancel)
cli.command("download")(jobs.download)
cli.command("classify")(classify.classify)
attributes.cli.command("prove")(prove.prove)
cli.add_typer(attributes.cli, name="attributes")
cli.add_typer(operate.db, name="db")
cli.add_typer(operate.key, name="key")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    try:
        code = cli(args=arguments, prog_name="limbeck", standalone_mode=False)
    except typer.TyperException as error:
        return _say(error.format_message(), error.exit_code)
    except BadInput as error:
        return _say(str(error), 2)
    except Failed as error:
        return _say(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _say("stopped", 130)
    except BrokenPipeError:
        # The reader of our output has gone (`limbeck jobs | head`); what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    print("limbeck: " + " ".join(message.split()), file=sys.stderr)
    return code


def app() -> None:
    """The entry point."""
    sys.exit(main())


if __name__ == "__main__":
    app()
