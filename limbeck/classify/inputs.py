"""The images of a command line: files, folders, standard input, and lists of paths.

A folder gives the images below it in natural order (`2.jpg` before `10.jpg`); links to folders are not followed.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from limbeck.shared.images.file_names import shown_path
from limbeck.shared.images.kinds import IMAGE_SUFFIXES, is_image_name

STDIN = "-"


class InputError(ValueError):
    """Images that cannot be found; the message says why, in one line."""


def find_images(arguments: Sequence[str], lists: Sequence[str] = ()) -> list[str]:
    """The paths of all images, in order; `-` is an image on standard input.

    `lists`: files with one path on each line, or `-`. Raises InputError if there is no image, or a folder without one.
    """
    if [*arguments, *lists].count(STDIN) > 1:
        raise InputError("standard input (-) can be read once only")
    given = [*arguments, *(path for file in lists for path in _listed(file))]
    found = [path for argument in given for path in _images_of(argument)]
    if not found:
        raise InputError(f"{shown_path(lists[0])} names no images" if lists else "give at least one image or folder")
    return found


def read_stdin(stream: BinaryIO | None = None) -> bytes:
    """The image on standard input. Raises InputError on a terminal."""
    source = stream or sys.stdin.buffer
    if source.isatty():
        raise InputError("standard input (-) is a terminal: pipe an image into the command")
    return source.read()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by value."""
    parts = re.split(r"([0-9]+)", name)  # texts and numbers in turn
    return [(0, int(part), part) if at % 2 else (1, 0, part.casefold()) for at, part in enumerate(parts)]


def _images_of(argument: str) -> list[str]:
    if argument == STDIN or not os.path.isdir(argument):
        return [argument]
    found = list(_below(argument))
    if not found:
        raise InputError(f"{shown_path(argument)} holds no images ({' '.join(IMAGE_SUFFIXES)})")
    return found


def _below(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{shown_path(error.filename)}: {error.strerror}")

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders.sort(key=natural_key)
        for name in sorted(names, key=natural_key):
            if is_image_name(name) and not name.startswith("."):
                yield os.path.join(here, name)


def _listed(file: str) -> list[str]:
    """The paths in a list; a relative path is relative to the working directory."""
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{shown_path(file)}: {error.strerror}") from None
    separator = b"\0" if b"\0" in data else b"\n"  # as `find -print0` writes it
    return [os.fsdecode(line.rstrip(b"\r")) for line in data.split(separator) if line.strip()]
