"""The site is built offline, without warnings, and loads nothing from another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.documents.snippets import ROOT


def test_the_site_has_valid_links_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    loaded = set()
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded |= set(
            re.findall(
                r'(?:<script[^>]* src|<img[^>]* src|<link rel="(?:stylesheet|preconnect)" href)="(https?:[^"]+)', text
            )
        )
    assert loaded == set()
