"""Input of the command-line programs: arguments and files whose errors are one line of text."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from attributes.formats.common import FormatError
from attributes.types import Label
from limbeck.shared.label_files import LabelFileError, read_label_file

T = TypeVar("T")
Content = TypeVar("Content", str, bytes)


class InvalidInput(Exception):
    """An invalid argument or file. The message is what the user sees: one line, or one per fault of a file."""


class InputParser(argparse.ArgumentParser):
    """An argument parser that raises InvalidInput instead of printing the usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message)


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises InvalidInput."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises InvalidInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not UTF-8 (byte {error.start})"
        raise InvalidInput(f"{path}: {reason}") from None


def read_labels(path: Path) -> tuple[list[Label], str]:
    """The labels of a label file, and the report of how it was read. Raises InvalidInput that names all faults."""
    try:
        found = read_label_file(path.read_bytes(), path.name)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except LabelFileError as error:
        raise InvalidInput(f"{path}: {error}") from None
    return [Label(label.name, label.sense) for label in found.labels], found.report()


def parse_file(path: Path, parse: Callable[[str], T]) -> T:
    """The result of `parse` on the text of a UTF-8 file. Raises InvalidInput."""
    return _parsed(path, read_text(path), parse)


def parse_bytes(path: Path, parse: Callable[[bytes], T]) -> T:
    """The result of `parse` on the content of a file. Raises InvalidInput."""
    return _parsed(path, read_bytes(path), parse)


def _parsed(path: Path, content: Content, parse: Callable[[Content], T]) -> T:
    try:
        return parse(content)
    except FormatError as error:
        raise InvalidInput(f"{path}: {error}") from None
