"""Helpers: read a label file from text or bytes."""

import pytest

from limbeck.shared.label_files import LabelFile, LabelFileError, read_label_file


def read(content: str | bytes, name: str = "") -> LabelFile:
    """The labels of a file with this content."""
    return read_label_file(content.encode() if isinstance(content, str) else content, name)


def names(content: str | bytes, name: str = "") -> list[str]:
    """The names of the labels, with the sense after a bar."""
    return [f"{one}|{sense}" if sense else one for one, sense in read(content, name).pairs]


def ids(content: str | bytes, name: str = "") -> list[dict[str, str | list[str]]]:
    """The ids of the labels."""
    return [label.ids for label in read(content, name).labels]


def refusal(content: str | bytes, name: str = "") -> str:
    """The message with which a file is refused."""
    with pytest.raises(LabelFileError) as caught:
        read(content, name)
    return str(caught.value)
