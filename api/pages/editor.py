"""The editor page for attributes: one HTML file (`editor.html`) without data, which calls the API for everything.

The page needs no key, because a browser cannot send one when it follows a link; the page asks the user for a key if the
API responds with 401. The content security policy allows only the page's own script and style, and connections only to
this service.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)
_FILE = Path(__file__).with_name("editor.html")


@router.get("/attributes/{id}")
async def editor(id: str) -> HTMLResponse:
    """The editor page. Its script reads the set's id from the page's URL."""
    page, policy = _page()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


@cache
def _page() -> tuple[str, str]:
    page = _FILE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(page, 'script')}; style-src {_hash(page, 'style')}; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return page, policy


def _hash(page: str, tag: str) -> str:
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
