"""The group of commands: sections, lazy imports, help texts that keep their lines, and shell completion."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from limbeck.cli import cli, main
from limbeck.command_group import first_sentence, keep_lines


def complete(words: str, *, shell: str = "bash") -> list[str]:
    """What a shell gets for the words of a command line, the last of which is incomplete."""
    code = "from limbeck.cli import main; main([])"
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_TYPER_COMPLETE_ARGS": words}
    env = {**os.environ, **asked, "_LIMBECK_COMPLETE": f"complete_{shell}"}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_every_command_of_the_table_is_a_command_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    group = typer.main.get_command(cli)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    assert list(commands) == [entry.name for entry in group.entries]  # type: ignore[attr-defined]
    assert all(command.help for command in commands.values())
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("\nWork:") < shown.index("\n  run ") < shown.index("\nOperate:") < shown.index("\n  serve ")


def test_a_mistyped_command_gets_the_near_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enrch"]) == 2
    assert "Did you mean 'enrich'?" in capsys.readouterr().err


def help_of(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and help of every command without commands below it."""
    below = getattr(command, "commands", {})
    for name in below:
        yield from help_of(below[name], f"{path} {name}")
    if not below:
        yield path, command.help


def test_every_command_has_an_example_of_its_own() -> None:
    commands = help_of(typer.main.get_command(cli), "limbeck")
    assert [path for path, text in commands if f"    {path}" not in text] == []


def test_the_help_of_a_group_shows_whole_sentences() -> None:
    assert first_sentence("Show a\nlong one.\n\nEnd.") == "Show a long one."
    assert first_sentence(None) == ""


def test_lines_of_commands_are_an_example_also_without_indentation() -> None:
    assert keep_lines("Do it.\n\nlimbeck do\nexport A=1") == "Do it.\n\n\b\n    limbeck do\n    export A=1"


def test_an_indented_paragraph_of_a_help_text_keeps_its_lines() -> None:
    text = """Do it.

    It takes
    long.

        limbeck do it
        limbeck do more
    """
    assert keep_lines(text) == "Do it.\n\nIt takes\nlong.\n\n\b\n    limbeck do it\n    limbeck do more"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_commands_and_options(shell: str) -> None:
    assert any("distill" in word for word in complete("limbeck dis", shell=shell))
    assert any("--strategies" in word for word in complete("limbeck enrich --strat", shell=shell))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_is_printed(shell: str) -> None:
    env = {**os.environ, "_LIMBECK_COMPLETE": f"source_{shell}"}
    code = "from limbeck.cli import main; main([])"
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "_LIMBECK_COMPLETE=complete_" + shell in ended.stdout
