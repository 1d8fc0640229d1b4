"""`python -m distill`: its training process checks the input without torch, and one signal stops it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill import __main__ as program
from distill.cli import train_process
from distill.cli.train_process import main as train
from distill.training.process_environment import MALLOC_SETTINGS


@pytest.mark.slow
def test_unusable_input_is_one_line(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main([*command, "--set", "lr=fast"]) == 2
    assert capfd.readouterr().err.count("error: ") == 1
    assert program.main([*command, "--unknown"]) == 2


@pytest.mark.slow
def test_input_is_checked_without_torch(command: list[str]) -> None:
    code = (
        "import sys; from distill.cli import train_process; "
        "code = train_process.main(sys.argv[1:]); sys.exit(10 * code + ('torch' in sys.modules))"
    )
    unusable = [*command, "--set", "lr=fast"]
    assert subprocess.run([sys.executable, "-c", code, *unusable], check=False).returncode == 20


def test_interrupted_check_ends_without_a_traceback(
    command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(argv: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_process, "read_arguments", interrupt)
    assert train(command) == 130
    assert capfd.readouterr().err == "stopped\n"


def test_a_signal_that_ended_the_training_process_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, message in ((137, "SIGKILL ended the training process (out of memory?)"), (139, "SIGSEGV ended the")):
        monkeypatch.setattr(program, "run_training_process", lambda command, code=code: code)
        assert program.main([]) == code
        assert message in capfd.readouterr().err
    monkeypatch.setattr(program, "run_training_process", lambda command: 130)
    assert program.main([]) == 130
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the environment of a process in /proc")
@pytest.mark.slow
def test_one_interrupt_saves_the_state_and_the_same_arguments_resume(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*command, "--set", "save_every_s=0.01", "--set", "epochs=12"]
    state = tmp_path / "out" / "work" / "state.safetensors"
    with subprocess.Popen([sys.executable, "-m", "distill", *arguments], stderr=subprocess.PIPE, text=True) as parent:
        while parent.poll() is None and not state.exists():
            time.sleep(0.01)
        (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        environment = Path(f"/proc/{child}/environ").read_text().split("\0")
        parent.send_signal(signal.SIGINT)
        _, messages = parent.communicate(timeout=60)
    assert {f"{name}={value}" for name, value in MALLOC_SETTINGS.items()} <= set(environment)
    assert parent.returncode == 130
    assert messages.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in messages
    assert not Path(f"/proc/{child}").exists()
    assert train(arguments) == 0
    resumed = capsys.readouterr()
    assert "resuming from the last saved state" in resumed.err
    assert resumed.out.splitlines()[-1] == f"bundle: {tmp_path / 'out' / 'bundle'}"
