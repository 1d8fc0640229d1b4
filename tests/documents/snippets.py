"""The code blocks of the documents, and how each is tested.

A comment before a block says what the test does; without one, a `sh` or `python` block is run:

    <!-- snippet: background -->        a server: started in the background, stopped after the last page
    <!-- snippet: checked; REASON -->   not run, because it needs what the test does not have; its syntax, commands and
                                        options are checked
    <!-- snippet: needs REASON -->      run, with a note for readers of the source

Blocks in `text`, `toml`, `json`, `yaml` and `mermaid` are not run; the first is output, the others are parsed.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = frozenset({"sh", "python", "text", "toml", "json", "yaml", "mermaid"})
_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)(?:<!-- snippet: (?P<note>[^>]*?) -->\n[ ]*)?```(?P<language>\w*)\n(?P<code>.*?)^[ ]*```$",
    re.MULTILINE | re.DOTALL,
)

How = Literal["run", "background", "checked"]


class Snippet(NamedTuple):
    """A code block: the line of its fence, its language, and how it is tested."""

    path: Path
    line: int
    language: str
    code: str
    how: How

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """The documents whose snippets are tested: all but the decisions, the log and the generated reference."""
    site = sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs" / "how-to").glob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(page for page in site if page.name != "log.md")]


def snippets(page: Path) -> Iterator[Snippet]:
    """Every code block of a page, without its indentation."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        indent, note = match["indent"], match["note"] or ""
        code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
        first = text.count("\n", 0, match.start()) + 1
        word = re.split(r"[;\s]", note)[0]
        how: How = "background" if word == "background" else "checked" if word == "checked" else "run"
        yield Snippet(page, first, match["language"], code, how)


def commands(code: str) -> list[str]:
    """The commands of a shell block, with continued lines joined and here-documents left out."""
    code = re.sub(r"<<-? *'?(\w+)'?\n.*?^\1$", "", code, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for line in code.replace("\\\n", " ").splitlines() if line.strip()]
