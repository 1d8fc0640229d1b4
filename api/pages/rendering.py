"""Renders the HTML pages from `templates/`, with one layout, one style sheet and one content security policy.

Scripts and styles are files of `static/` with a digest in their address (`api.pages.static_files`), so that the policy
allows nothing inline and a browser keeps them for ever. Every value is escaped: texts of people, files and LLMs are
never markup.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from api.pages import charts, formats
from api.pages.static_files import static_url

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_TEMPLATES = Environment(
    loader=PackageLoader("api.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class Section:
    """A link of the navigation; it is marked on all pages below its address."""

    title: str
    path: str


SECTIONS: Sequence[Section] = (
    Section("Start", "/"),
    Section("Vocabularies", "/vocabularies"),
    Section("Images", "/images"),
    Section("Attributes", "/attributes"),
    Section("Jobs", "/jobs"),
    Section("Students", "/students"),
    Section("API", "/docs"),
)


def page(request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """The page of a template; `values` are its variables."""
    html = _TEMPLATES.get_template(template).render(
        request=request, sections=SECTIONS, path=request.url.path, **session_values(request), **values
    )
    return HTMLResponse(html, status, headers={"Content-Security-Policy": POLICY})


def fragment(template: str, **values: object) -> HTMLResponse:
    """A part of a page without the layout, which a script of the page exchanges (`static/live.js`)."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), headers={"Content-Security-Policy": POLICY})


def session_values(request: Request) -> Mapping[str, object]:
    """Variables of the layout that depend on who looks: `csrf`, the token that writes of this browser repeat, and
    `viewer`, the name of the key; both are empty for local use without keys."""
    return {"csrf": getattr(request.state, "csrf", ""), "viewer": getattr(request.state, "viewer", "")}


def _indented_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


_TEMPLATES.globals["static_url"] = static_url
_TEMPLATES.globals["charts"] = charts
_TEMPLATES.filters["indented_json"] = _indented_json
_TEMPLATES.filters.update(formats.FILTERS)
