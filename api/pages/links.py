"""Links from one page to another, as cells of tables and facts."""

from urllib.parse import quote, urlencode

from markupsafe import Markup

_PAGES = {
    "voc": "/vocabularies/",
    "dst": "/images/",
    "ats": "/attributes/",
    "job": "/jobs/",
    "ckp": "/students/",
}


def page_of(id: str) -> str:
    """The address of the page of a resource, by the prefix of its id; "" for a resource without a page."""
    start = _PAGES.get(id.partition("_")[0], "")
    return start and start + quote(id, safe="")


def link(id: str, text: str = "") -> Markup:
    """A link to the page of a resource, whose text is its name or its id."""
    shown = Markup("<bdi>{}</bdi>").format(text) if text else Markup('<span class="id">{}</span>').format(id)
    address = page_of(id)
    return Markup('<a href="{}">{}</a>').format(address, shown) if address else shown


def with_query(path: str, **values: str | int | None) -> str:
    """The address of a page with these query parameters; None leaves one out."""
    query = urlencode([(name, value) for name, value in values.items() if value is not None])
    return f"{path}?{query}" if query else path
