"""The editor page for attributes: one HTML page without data, which calls the API for everything.

The page needs no key, because a browser cannot send one when it follows a link; the page asks the user for a key if the
API responds with 401. The content security policy allows only the page's own script and style, and connections only to
this service.
"""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.pages.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/attributes/{id}")
async def editor(request: Request, id: str) -> HTMLResponse:
    """The editor page. Its script reads the set's id from the page's URL."""
    return page(request, "editor.html.jinja")
