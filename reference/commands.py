"""The commands of `limbeck` as a page: the help of each command, its arguments and its options."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from limbeck.cli import cli
from reference.tables import row

_HEAD = """# Commands

Written by `python -m reference`; a test compares this page with the code. `limbeck COMMAND --help` shows the same on a
terminal. [Exit codes](../exit-codes.md) are the same for all commands.
"""
_COLUMNS = "| option | default | meaning |\n|---|---|---|\n"


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(
        _section(name, command) for name, command in _commands(typer.main.get_command(cli), "limbeck")
    )


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below `command` with its full name, in the order of the help."""
    below = getattr(command, "commands", None)
    if below is None or getattr(command, "invoke_without_command", False):
        yield name, command
    for child, one in (below or {}).items():
        if not one.hidden:
            yield from _commands(one, f"{name} {child}")


def _section(name: str, command: Any) -> str:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\b", "").strip()
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    usage = " ".join([name, *("[OPTIONS]" for _ in options[:1]), *(_metavar(one) for one in arguments)])
    parts = [f"\n## `{name}`\n\n```text\n{usage}\n```\n\n{_paragraphs(text)}\n"]
    rows = [row(f"`{_metavar(one)}`", "", str(getattr(one, "help", "") or "")) for one in arguments]
    rows += [row(_names(one), _default(one), _meaning(one)) for one in options]
    if rows:
        parts.append(f"\n{_COLUMNS}{''.join(rows)}")
    return "".join(parts)


def _paragraphs(text: str) -> str:
    """The help as Markdown: a block of indented lines is code, and angle brackets are no HTML."""
    blocks = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if lines and all(line.startswith("  ") for line in lines):
            blocks.append("```sh\n" + inspect.cleandoc("\n" + block) + "\n```")
        else:
            blocks.append(block.replace("<", "&lt;"))
    return "\n\n".join(blocks)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return str(name if argument.required or name.startswith("[") else f"[{name}]")


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _default(option: Any) -> str:
    if option.required:
        return "required"
    default = option.default
    if callable(default) or default in (None, "", False, (), []):
        return ""
    return f"`{default}`"


def _meaning(option: Any) -> str:
    text = str(option.help or "").replace("<", "&lt;")
    return f"{text} (`{option.envvar}`)" if option.envvar else text
