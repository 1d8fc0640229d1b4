"""Documents that several commands write: each writes its own part, between two marks, and leaves the others alone."""

from pathlib import Path

from distill.data.atomic_files import write_bytes


def put_part(path: Path, name: str, text: str) -> None:
    """Replace the part `name` of a Markdown document, or add it at the end; the document is made if it is not there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    part = f"{begin}\n{text.strip()}\n\n{end}"
    start = before.find(begin)
    if start < 0:
        made = f"{before.rstrip()}\n\n{part}" if before.strip() else part
    else:
        stop = before.index(end, start) + len(end)
        made = before[:start] + part + before[stop:]
    write_bytes(path, made.encode())
