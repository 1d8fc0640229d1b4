"""Documents that several commands write: each command replaces its own section, between two markers."""

from pathlib import Path

from distill.data.atomic_files import write_bytes


def put_part(path: Path, name: str, text: str) -> None:
    """Replace the section `name` of a Markdown document, or append it; creates a missing document."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    section = f"{begin}\n{text.strip()}\n\n{end}"
    start = old.find(begin)
    if start < 0:
        new = f"{old.rstrip()}\n\n{section}" if old.strip() else section
    else:
        stop = old.index(end, start) + len(end)
        new = old[:start] + section + old[stop:]
    write_bytes(path, new.encode())
