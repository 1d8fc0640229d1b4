"""`python -m distill`: checks its input without torch, starts the training process, and stops it by one signal."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill import __main__ as program
from distill.cli.train_process import main as train
from distill.training.process_environment import MALLOC_SETTINGS


def test_unusable_input_starts_no_training(
    command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "run_training_process", lambda command: pytest.fail("a training was started"))
    assert program.main([*command, "--set", "lr=fast"]) == 2
    assert capfd.readouterr().err.count("error: ") == 1
    with pytest.raises(SystemExit) as ended:
        program.main([*command, "--unknown"])
    assert ended.value.code == 2


def test_input_is_checked_without_torch(command: list[str]) -> None:
    code = (
        "import sys; from distill import __main__ as program; "
        "program.run_training_process = lambda command: 10 + ('torch' in sys.modules); "
        "sys.exit(program.main(sys.argv[1:]))"
    )
    assert subprocess.run([sys.executable, "-c", code, *command], check=False).returncode == 10


def test_interrupted_check_ends_without_a_traceback(
    command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(argv: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "read_arguments", interrupt)
    assert program.main(command) == 130
    assert capfd.readouterr().err == "stopped\n"


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
