"""Every code block of the documents is well-formed, and names only commands and options that exist."""

import ast
import json
import re
import shlex
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from limbeck.cli import cli
from tests.documents.snippets import LANGUAGES, ROOT, Snippet, commands, pages, snippets

ALL = [snippet for page in pages() for snippet in snippets(page)]
_SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "2>"}


def _shell() -> list[Snippet]:
    return [snippet for snippet in ALL if snippet.language == "sh"]


def test_every_fence_is_found_and_has_a_language() -> None:
    fences = sum(len(re.findall(r"^ *```\w*$", page.read_text(), re.MULTILINE)) for page in pages())
    assert fences == 2 * len(ALL), "a fence is not closed"
    assert [str(snippet) for snippet in ALL if snippet.language not in LANGUAGES] == []


def test_the_shell_can_parse_every_block() -> None:
    for snippet in _shell():
        done = subprocess.run(["bash", "-n"], input=snippet.code, capture_output=True, text=True)
        assert done.returncode == 0, f"{snippet}: {done.stderr}"


@pytest.mark.parametrize("snippet", [s for s in ALL if s.language in ("python", "toml", "json", "yaml")], ids=str)
def test_a_block_is_well_formed(snippet: Snippet) -> None:
    parse: dict[str, Any] = {"python": _parse, "toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load}
    parse[snippet.language](snippet.code)


def test_commands_and_options_exist() -> None:
    root = typer.main.get_command(cli)
    faults = [
        f"{snippet}: {fault}"
        for snippet in _shell()
        for command in commands(snippet.code)
        for arguments in _calls(command)
        if (fault := _fault(root, arguments))
    ]
    assert faults == []


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        (str(s), name) for s in _shell() for line in commands(s.code) for name in re.findall(r"^make ([a-z-]+)", line)
    }
    assert [place for place, name in sorted(named) if name not in targets] == []


def test_modules_exist() -> None:
    for snippet in _shell():
        for name in re.findall(r"python -m ([\w.]+)", snippet.code):
            path = ROOT / Path(*name.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or name in ("pip", "venv"), (
                snippet
            )


def _parse(code: str) -> ast.Module:
    """Parse a module, or entries of a dictionary."""
    code = textwrap.dedent(code)
    return ast.parse(f"{{{code}}}" if re.match(r'"\w+": ', code) else code)


def _calls(command: str) -> list[list[str]]:
    """The arguments of each call of `limbeck` in a command line, also inside `$(…)`."""
    calls = []
    for inner in [
        *re.findall(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", command),
        re.sub(r"\$\([^()]*(?:\([^()]*\)[^()]*)*\)", "X", command),
    ]:
        words = shlex.split(inner, comments=True)
        for start, word in enumerate(words):
            if word == "limbeck" and (start == 0 or words[start - 1] in _SEPARATORS or "=" in words[start - 1]):
                stop = next((n for n in range(start, len(words)) if words[n] in _SEPARATORS), len(words))
                calls.append(words[start + 1 : stop])
    return calls


def _fault(command: Any, arguments: list[str]) -> str:
    """What the command would not understand; "" if all names exist."""
    path = ["limbeck"]
    while arguments and (below := getattr(command, "commands", None)) and not arguments[0].startswith("-"):
        if arguments[0] not in below:
            return (
                ""
                if getattr(command, "invoke_without_command", False)
                else f"no command {' '.join([*path, arguments[0]])}"
            )
        path.append(arguments[0])
        command, arguments = below[arguments[0]], arguments[1:]
    known = {name for option in command.params for name in [*option.opts, *option.secondary_opts]} | {"--help"}
    unknown = [word for word in arguments if re.match(r"--[a-z]", word) and word.partition("=")[0] not in known]
    return f"{' '.join(path)} has no {', '.join(unknown)}" if unknown else ""
