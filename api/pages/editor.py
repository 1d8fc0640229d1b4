"""The editing page: one HTML file that holds nothing of any set, and does all that it does through the API.

It can be opened without a key, which a browser cannot send with a link; the page asks for one when the API does. Its
policy lets nothing run or load but its own script and style, and lets it talk to nobody but this service.
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
    """The page, which reads from its own address which set it is about."""
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
