"""The group of commands: sections, lazy imports, help texts that keep their lines, and shell completion."""

import os
import subprocess
import sys

import pytest
import typer

from limbeck.cli import cli, main
from limbeck.command_group import keep_lines


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
    assert any("attributes" in word for word in complete("limbeck att", shell=shell))
    assert any("--strategies" in word for word in complete("limbeck enrich --strat", shell=shell))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_is_printed(shell: str) -> None:
    env = {**os.environ, "_LIMBECK_COMPLETE": f"source_{shell}"}
    code = "from limbeck.cli import main; main([])"
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "_LIMBECK_COMPLETE=complete_" + shell in ended.stdout
