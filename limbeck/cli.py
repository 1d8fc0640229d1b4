"""The `limbeck` command: the service, its keys and its database for operators; enrichment and distillation for users.

    limbeck serve
    limbeck run --labels birds.txt --domain birds --images birds --teacher ViT-B-32:openai --out student

Exit codes: 0 success; 1 the service, the job or the machine failed; 2 invalid input; 3 labels lack attributes; 4 a part
of the installation is missing; 130 interrupted (docs/exit-codes.md). Every error is one line on stderr. A command
imports the packages that it needs when it runs, so that `--help` is fast and the client works without the parts of the
service.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from limbeck.commands import attributes, classify, datasets, enrich, jobs, labels, llm, operate, prove, run, serve
from limbeck.commands.common import BadInput, CommandFailed, LabelsMissing
from limbeck.errors import StoppedFollowing
from limbeck.shared.exit_codes import FAILED, INTERRUPTED, INVALID_INPUT, LABELS_MISSING, PART_MISSING
from limbeck.shared.parts import missing_part

cli = typer.Typer(
    name="limbeck",
    help="Distil a small image model that understands text, from a list of labels and a folder of images.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"limbeck {version('limbeck')}")
        raise typer.Exit


@cli.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


cli.command("serve")(serve.serve)
cli.command("run")(run.run)
cli.command("labels")(labels.labels)
cli.command("enrich")(enrich.enrich)
cli.command("jobs")(jobs.jobs)
cli.command("job")(jobs.job)
cli.command("cancel")(jobs.cancel)
cli.command("download")(jobs.download)
cli.command("classify")(classify.classify)
attributes.cli.command("prove")(prove.prove)
cli.add_typer(attributes.cli, name="attributes")
cli.add_typer(datasets.cli, name="datasets")
cli.add_typer(llm.cli, name="llm")
cli.add_typer(operate.db, name="db")
cli.add_typer(operate.key, name="key")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        code = cli(args=arguments, prog_name="limbeck", standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage: "):  # no command was given: the message is the help
            print(message, file=sys.stderr)
            return error.exit_code
        return _print_error(message, error.exit_code)
    except BadInput as error:
        return _print_error(str(error), INVALID_INPUT)
    except CommandFailed as error:
        return _print_error(str(error), FAILED)
    except LabelsMissing as error:
        return _print_error(str(error), LABELS_MISSING)
    except StoppedFollowing as error:
        return _print_error(str(error), INTERRUPTED)
    except ModuleNotFoundError as error:
        if missing := missing_part(error):
            return _print_error(missing, PART_MISSING)
        raise
    except (KeyboardInterrupt, typer.Abort):
        return _print_error("stopped", INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout has closed it (`limbeck jobs | head`): discard the buffered output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _print_error(message: str, code: int) -> int:
    print("limbeck: " + " ".join(message.split()), file=sys.stderr)
    return code


def app() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    app()
