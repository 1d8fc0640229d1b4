"""The start of a process: its settings and its database, or one line on stderr that says what is wrong."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from limbeck.shared.exit_codes import FAILED, INVALID_INPUT, PART_MISSING
from limbeck.shared.parts import missing_part
from store.errors import DatabaseUnusable, SettingInvalid
from store.settings import Settings, unknown_settings


def settings_fault(error: ValidationError) -> str:
    """The first invalid setting and what is wrong with it, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"LIMBECK_{'_'.join(str(step) for step in first['loc']).upper()}: {first['msg']}"


@contextmanager
def exit_if_misconfigured(program: str) -> Iterator[None]:
    """Exit with one line on stderr if the code inside finds an invalid setting or an unusable database.

    Exit code 2 for a setting that has to be corrected, 1 for a database that does not respond or is not migrated.
    """
    try:
        yield
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        _exit(program, settings_fault(error), INVALID_INPUT)
    except SettingInvalid as error:
        _exit(program, str(error), INVALID_INPUT)
    except DatabaseUnusable as error:
        _exit(program, str(error), FAILED)
    except ModuleNotFoundError as error:
        if message := missing_part(error):
            _exit(program, message, PART_MISSING)
        raise


def warn_of_unknown_settings(program: str, settings: Settings) -> None:
    """Print a line for each LIMBECK_* variable that nothing reads."""
    for warning in unknown_settings(os.environ, settings.llm_endpoints).values():
        print(f"{program}: {warning}", file=sys.stderr)


def _exit(program: str, fault: str, code: int) -> None:
    print(f"{program}: {fault}", file=sys.stderr)
    sys.exit(code)
