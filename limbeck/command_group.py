"""A group of commands in sections, each imported when it runs, so that `limbeck --help` imports none of them.

A table names the module of each command and the line that `limbeck --help` shows for it.
"""

import inspect
import re
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import Any

import typer
from typer.core import TyperGroup

# Plain text: rich's markup would fold the examples of a help text.
_COMMANDS = ("limbeck ", "export ")
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


@dataclass(frozen=True)
class CommandEntry:
    """A command: its name, `module:attribute` of its function or of the Typer app of a noun, its section and its line
    in `limbeck --help`."""

    name: str
    target: str
    section: str
    help: str


class _LazyCommands(MutableMapping[str, Any]):
    """Name → command. A command is imported when it is looked up, not when the names are listed."""

    def __init__(self, entries: Sequence[CommandEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(self._entries[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class CommandGroup(TyperGroup):
    """The group of a subclass whose `entries` are the table."""

    entries: Sequence[CommandEntry] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _LazyCommands(self.entries)
        self.epilog = keep_lines(self.epilog)

    def list_commands(self, ctx: Any) -> list[str]:
        return [entry.name for entry in self.entries]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each section of the table under its heading."""
        width = max(len(entry.name) for entry in self.entries)
        for section, entries in groupby(self.entries, key=lambda entry: entry.section):
            with formatter.section(section):
                formatter.write_dl([(entry.name.ljust(width), entry.help) for entry in entries])


class _Noun(TyperGroup):
    """The commands of a noun; its help shows their first sentences, where click would cut them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command.help)) for name, command in self.commands.items()])


def _load(entry: CommandEntry) -> Any:
    module, _, attribute = entry.target.partition(":")
    target = getattr(import_module(module), attribute)
    parent = typer.Typer(**PLAIN)
    parent.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        parent.add_typer(target, name=entry.name, cls=_Noun)
    else:
        parent.command(entry.name)(target)
    command = typer.main.get_group(parent).commands[entry.name]
    _keep_lines_of_help(command)
    return command


def _keep_lines_of_help(command: Any) -> None:
    command.help = keep_lines(command.help)
    command.epilog = keep_lines(command.epilog)
    for below in getattr(command, "commands", {}).values():
        _keep_lines_of_help(below)


def keep_lines(text: str | None) -> str | None:
    """A help text whose examples and indented paragraphs keep their lines; the others are wrapped to the terminal.

    An example is a paragraph of command lines: each begins with `limbeck` or `export`.
    """
    if not text:
        return text
    return "\n\n".join(map(_kept, re.split(r"\n\s*\n", inspect.cleandoc(text))))


def _kept(paragraph: str) -> str:
    lines = paragraph.splitlines()
    if all(line.lstrip().startswith(_COMMANDS) for line in lines):
        lines = [f"    {line.strip()}" for line in lines]
    return "\n".join(["\b", *lines]) if all(line.startswith("  ") for line in lines) else paragraph


def first_sentence(text: str | None) -> str:
    """The first sentence of a help text, on one line: what the help of its group shows."""
    first = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))[0]
    return re.split(r"(?<=\.)\s", " ".join(first.split()))[0]
