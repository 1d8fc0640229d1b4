"""Write `limbeck/client/synchronous` from the source of the asynchronous client:

    python -m tests.limbeck.sync_client

Each module is translated word by word (`await x` becomes `x`, `AsyncClient` becomes `Client`) and formatted.
`runtime.py` is written by hand in both folders. A test compares the files with the source.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "limbeck" / "client" / "asynchronous"
TARGET = ROOT / "limbeck" / "client" / "synchronous"
BY_HAND = ("__init__.py", "runtime.py")

_WORDS = (
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\ba(close|read|iter_raw|next)\b", r"\1"),
    (r"\basynchronous\b", "synchronous"),
)


def generated_files() -> dict[str, str]:
    """The content of each module of the synchronous client, by name."""
    return {path.name: _translated(path) for path in sorted(SOURCE.glob("*.py")) if path.name not in BY_HAND}


def _translated(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    source = path.relative_to(ROOT).as_posix()
    return _formatted(
        f"# Written by `python -m tests.limbeck.sync_client` from {source}: edit that file.\n{text}", path
    )


def _formatted(code: str, path: Path) -> str:
    name = f"--stdin-filename={TARGET / path.name}"
    for arguments in (["check", "--quiet", "--select", "I", "--fix", name, "-"], ["format", "--quiet", name, "-"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments], input=code, text=True, capture_output=True, check=True, cwd=ROOT
        )
        code = ran.stdout
    return code


def main() -> None:
    written = generated_files()
    for path in TARGET.glob("*.py"):
        if path.name not in (*BY_HAND, *written):
            path.unlink()
    for name, text in written.items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
