"""Renders the HTML pages from the templates in `templates/`, with a content security policy for each.

The policy allows only the style and the script that the page contains, by their hashes, and nothing external.
"""

import base64
import hashlib
import json
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

_LOADER = PackageLoader("api.pages")
_TEMPLATES = Environment(
    loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page(template: str, *, policy: str = "", **values: object) -> HTMLResponse:
    """The page of a template. `policy`: further directives of its content security policy."""
    html = _TEMPLATES.get_template(template).render(values)
    hashes = "".join(f"{tag}-src {_hash(html, tag)}; " for tag in ("script", "style") if f"<{tag}>" in html)
    policy = f"default-src 'none'; {hashes}{policy}frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _hash(html: str, tag: str) -> str:
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _source(name: str) -> Markup:
    """The content of a style sheet or script. It is not a template: a script may contain `{{`."""
    return Markup(_LOADER.get_source(_TEMPLATES, name)[0])


def _indented_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


_TEMPLATES.globals["source"] = _source
_TEMPLATES.filters["indented_json"] = _indented_json
