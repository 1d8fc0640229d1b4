"""Write `limbeck/client/synchronous` from the source of the asynchronous client:

    python -m tests.limbeck.sync_client

Each module is translated word by word (`await x` becomes `x`, `AsyncClient` becomes `Client`) and formatted.
`runtime.py` is written by hand in both folders. A test compares the files with the source.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

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
    sources = [path for path in sorted(SOURCE.glob("*.py")) if path.name not in BY_HAND]
    with TemporaryDirectory(dir=TARGET.parent) as name:
        folder = Path(name)
        for path in sources:
            (folder / path.name).write_text(_translated(path), encoding="utf-8")
        for arguments in (["check", "--select", "I", "--fix"], ["format"]):
            command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "--no-cache", name]
            subprocess.run(command, check=True, cwd=ROOT)
        return {path.name: (folder / path.name).read_text(encoding="utf-8") for path in sources}


def _translated(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    header = f"# Written by `python -m tests.limbeck.sync_client` from {path.relative_to(ROOT)}: edit that file."
    return f"{header}\n{text}"


def main() -> None:
    written = generated_files()
    for path in TARGET.glob("*.py"):
        if path.name not in (*BY_HAND, *written):
            path.unlink()
    for name, text in written.items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
