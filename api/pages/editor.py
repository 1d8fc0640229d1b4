"""The editor page for attributes: one HTML page whose script calls the API for everything."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.pages.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/attributes/{id}")
async def editor(request: Request, id: str) -> HTMLResponse:
    """The editor page. Its script reads the set's id from the page's URL."""
    return page(request, "editor.html.jinja")
