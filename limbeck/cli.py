"""The `limbeck` command: the service, its keys and its database for operators; enrichment and distillation for users.

    limbeck serve
    limbeck run --labels birds.txt --domain birds --images birds --teacher ViT-B-32:openai --out student

Exit codes: 0 success; 1 the service, the job or the machine failed; 2 invalid input; 3 labels lack attributes; 4 a part
of the installation is missing; 130 interrupted (docs/exit-codes.md). Every error is one line on stderr. A command is
imported when it runs, and imports the packages that it needs, so that `--help` is fast and the client works without the
parts of the service.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

from limbeck.errors import StoppedFollowing
from limbeck.shared.exit_codes import FAILED, INTERRUPTED, INVALID_INPUT, LABELS_MISSING, PART_MISSING
from limbeck.shared.parts import exit_if_part_is_missing, installed_version, missing_part

with exit_if_part_is_missing("limbeck"):
    import typer

    from limbeck.command_group import PLAIN, CommandEntry, CommandGroup
    from limbeck.commands.common import BadInput, CommandFailed, LabelsMissing

_WORK, _FOLLOW, _STUDENTS, _OPERATE = "Work", "Follow", "Students", "Operate"


class _Limbeck(CommandGroup):
    entries = (
        CommandEntry("run", "limbeck.commands.run:run", _WORK, "The whole job: labels and images to a student."),
        CommandEntry("distill", "limbeck.commands.distill:distill", _WORK, "Train a student on a dataset."),
        CommandEntry("sweep", "limbeck.commands.sweep:sweep", _WORK, "Compare trainings with different settings."),
        CommandEntry("evaluate", "limbeck.commands.evaluate:evaluate", _WORK, "Accuracies of a student or teacher."),
        CommandEntry("encode", "limbeck.commands.encode:encode", _WORK, "Text features of labels, by a teacher."),
        CommandEntry(
            "vocab", "limbeck.commands.vocab:cli", _WORK, "Vocabularies: create, list, show, read a file, rm."
        ),
        CommandEntry("enrich", "limbeck.commands.enrich:enrich", _WORK, "Describe labels with an LLM."),
        CommandEntry("attributes", "limbeck.commands.attributes:cli", _WORK, "Attributes: list, edit, check, export."),
        CommandEntry("dataset", "limbeck.commands.dataset:cli", _WORK, "Images: register, list, show, report, rm."),
        CommandEntry("upload", "limbeck.commands.upload:upload", _WORK, "Send a folder or an archive of images."),
        CommandEntry("uploads", "limbeck.commands.uploads:cli", _WORK, "Uploads: list, show, rm."),
        CommandEntry("jobs", "limbeck.commands.jobs:cli", _FOLLOW, "Jobs: list, show, events, checkpoints, rm."),
        CommandEntry("watch", "limbeck.commands.watch:watch", _FOLLOW, "Follow a job: messages, stage, loss curve."),
        CommandEntry(
            "webhooks", "limbeck.commands.webhooks:cli", _FOLLOW, "URLs to call at the end of jobs: add, list."
        ),
        CommandEntry("cancel", "limbeck.commands.cancel:cancel", _FOLLOW, "Cancel jobs."),
        CommandEntry("checkpoints", "limbeck.commands.checkpoints:cli", _STUDENTS, "Students: list, show, files, rm."),
        CommandEntry("download", "limbeck.commands.download:download", _STUDENTS, "Download a student."),
        CommandEntry("classify", "limbeck.commands.classify:classify", _STUDENTS, "Classify images; needs no service."),
        CommandEntry("publish", "limbeck.commands.publish:publish", _STUDENTS, "Upload a student to the Hub."),
        CommandEntry("texts", "limbeck.commands.texts:cli", _STUDENTS, "Text targets: list, show, download, rm."),
        CommandEntry(
            "captions", "limbeck.commands.captions:cli", _STUDENTS, "Captions of images: list, show, save, rm."
        ),
        CommandEntry("teachers", "limbeck.commands.teachers:cli", _STUDENTS, "Teachers: list, show."),
        CommandEntry("serve", "limbeck.commands.serve:serve", _OPERATE, "Run the service."),
        CommandEntry("doctor", "limbeck.commands.doctor:doctor", _OPERATE, "Check the installation or a service."),
        CommandEntry("key", "limbeck.commands.operate:key", _OPERATE, "API keys: create, list, limit, revoke."),
        CommandEntry("audit", "limbeck.commands.audit:audit", _OPERATE, "Who changed what."),
        CommandEntry("db", "limbeck.commands.operate:db", _OPERATE, "The database: upgrade, check."),
        CommandEntry("backup", "limbeck.commands.backup:backup", _OPERATE, "Copy database and files while it runs."),
        CommandEntry("restore", "limbeck.commands.backup:restore", _OPERATE, "Restore a backup into an empty place."),
        CommandEntry("storage", "limbeck.commands.storage:storage", _OPERATE, "The disk that a service uses, by kind."),
        CommandEntry("gc", "limbeck.commands.gc:gc", _OPERATE, "Remove files that nothing refers to any more."),
        CommandEntry("llm", "limbeck.commands.llm:cli", _OPERATE, "LLM endpoints and models."),
    )


_EPILOG = """
Environment of the commands that use a service:

    LIMBECK_URL    its URL (--url); http://127.0.0.1:8420 by default
    LIMBECK_KEY    the secret that `limbeck key create` printed, if it needs one

Settings of the service are LIMBECK_* variables too; `limbeck doctor` checks them.

Exit codes:

    0    success
    1    the service, the job or the machine failed
    2    invalid input: an option, a file, a setting
    3    labels lack attributes
    4    a part of the installation is missing
    130  interrupted (Ctrl-C)
"""


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"limbeck {installed_version()}")
        raise typer.Exit


cli = typer.Typer(
    name="limbeck",
    cls=_Limbeck,
    help="Distil a small image model that understands text, from a list of labels and a folder of images.",
    epilog=_EPILOG,
    no_args_is_help=True,
    **PLAIN,
)


@cli.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


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
        return _print_error(str(error), INTERRUPTED) if str(error) else INTERRUPTED
    except ModuleNotFoundError as error:
        if missing := missing_part(error):
            return _print_error(missing, PART_MISSING)
        raise
    except (KeyboardInterrupt, typer.Abort):
        return _print_error("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout has closed it (`limbeck jobs | head`): discard the buffered output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this code, without a word
        return _print_error("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _print_error(message: str, code: int) -> int:
    print("limbeck: " + " ".join(message.split()), file=sys.stderr)
    return code


def app() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    app()
