"""Signing in: a person exchanges an API key for a cookie of this browser, which scripts cannot read.

The form is accepted only from a page of this service, so that no other site can sign a browser in with its own key.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.auth import COOKIE, SESSION, SIGN_IN, is_from_own_page
from api.http.dependencies import ServicesDep
from api.http.problems import Problem, ProblemError
from api.pages.rendering import page
from store.access import browser_sessions

router = APIRouter(include_in_schema=False)
_MAX_KEY_CHARS = 200


@router.get(SIGN_IN)
def form(request: Request, next: str = "/") -> HTMLResponse:
    """The form; `next` is the page to open afterwards."""
    return page(request, "sign_in.html.jinja", next=_own_page(next), fault="")


@router.post(SIGN_IN)
def sign_in(
    request: Request,
    services: ServicesDep,
    key: Annotated[str, Form(max_length=_MAX_KEY_CHARS)] = "",
    next: Annotated[str, Form(max_length=2_000)] = "/",
) -> Response:
    """Begin a session and open the page `next`."""
    if not is_from_own_page(request.headers):
        raise ProblemError(403, "cross_site_request", "sign in from the page of this service")
    lifetime_s = services.settings.session_s
    with services.db.write() as tx:
        token = browser_sessions.create(tx, key.strip(), lifetime_s=lifetime_s)
    if token is None:
        fault = "This key is unknown, expired or revoked."
        return page(request, "sign_in.html.jinja", status=403, next=_own_page(next), fault=fault)
    response = RedirectResponse(_own_page(next), 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(lifetime_s),
        httponly=True,
        samesite="lax",  # a link from elsewhere opens the page signed in; writes need the CSRF token
        secure=request.url.scheme == "https",
    )
    return response


@router.delete(SESSION)
def sign_out(request: Request, services: ServicesDep) -> Response:
    """End the session of this browser."""
    token = cookie_parser(request.headers.get("cookie", "")).get(COOKIE, "")
    with services.db.write() as tx:
        browser_sessions.end(tx, token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE)
    return response


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """The page for a problem, for people."""
    return page(request, "problem.html.jinja", status=problem.status, problem=problem)


def _own_page(address: str) -> str:
    """The address if it is a page of this service, else the start page: `//host` and `/\\host` are other hosts."""
    is_own = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_own else "/"
