"""What an error means for the run: the `status` of `RawResponse`.

The words of an error count more than its HTTP status, because servers use one status for several causes: 403 is a
wrong key and a moderated question, 429 a short limit and an empty account, 400 a refused parameter, a wrong key
(Google) and an answer that reached its token limit (OpenAI).
"""

import re

from attributes.llm.http import error_wording as words
from attributes.llm.http.bodies import BodyKind
from attributes.llm.http.raw_response import RequestContext
from attributes.llm.http.server_errors import ServerError
from attributes.llm.refused_parameters import refused_parameter

CUT_OFF = "cut_off"  # not an error for the run: the answer reached the token limit
WRONG_PATH = "wrong_path"  # nothing of the API is at the address
_GOOGLE_NO_FREE_TIER = re.compile(r"limit: 0\b(?!\.)")


def status_of_error(
    http_status: int, error: ServerError, context: RequestContext, *, kind: BodyKind = "json", states_wait: bool = False
) -> str:
    """A status of `RawResponse`, `CUT_OFF` or `WRONG_PATH`.

    `http_status` is that of the response. For an error under status 200 it is what the body names, or 200 if it names
    none. `kind`: what the body is. `states_wait`: the response says how long to wait.
    """
    if http_status == 401:
        return "llm_wrong_key"
    if http_status == 402 or _has_no_quota(http_status, error, states_wait=states_wait):
        return "llm_quota_exhausted"
    if http_status in (429, 498):
        return _status_of_limit(http_status, error)
    if http_status == 403:
        return _status_of_forbidden(error, context, is_page=kind == "html")
    if http_status in (404, 405, 410):
        return _status_of_not_found(http_status, error, context, kind)
    if 300 <= http_status < 400 or http_status == 407:
        return "llm_unreachable"
    if http_status in (408, 409, 425, 499) or (http_status >= 500 and kind == "html"):
        return "server_error"
    return _status_of_other(http_status, error, context)


def _has_no_quota(http_status: int, error: ServerError, *, states_wait: bool) -> bool:
    """Whether the account has no credit left. A limit that resets soon says nearly the same words."""
    if error.codes & words.QUOTA_CODES:
        return True
    if "resource_exhausted" in error.codes and _GOOGLE_NO_FREE_TIER.search(error.text):
        return True
    if http_status in (404, 405) or not words.NO_QUOTA.search(error.text):
        return False
    if error.codes & words.FILTER_CODES or error.reasons:
        return False
    if http_status == 429:
        return not states_wait and not error.codes & words.RATE_CODES
    return http_status < 500 or not states_wait


def _status_of_limit(http_status: int, error: ServerError) -> str:
    if words.LARGER_THAN_LIMIT.search(error.text):
        return "bad_request"
    return "rate_limited" if http_status == 429 else "server_error"


def _status_of_forbidden(error: ServerError, context: RequestContext, *, is_page: bool) -> str:
    """A 403 concerns the question if the server says so, or if the key has worked before; else the key."""
    if is_filtered(error):
        return "refused"
    if error.codes & words.MODEL_CODES or words.NO_MODEL.search(error.text):
        return "llm_unknown_model"
    if error.codes & words.KEY_CODES or words.KEY_REFUSED.search(error.text):
        return "llm_wrong_key"
    if error.codes & words.RATE_CODES or words.RATE_LIMIT.search(error.text):
        return "rate_limited"
    if is_page or words.FIREWALL.search(error.text):
        # A firewall may block this machine for a while: no reason to refuse every label from now on.
        return "server_error" if context.has_succeeded else "llm_wrong_key"
    return "refused" if context.has_succeeded else "llm_wrong_key"


def _status_of_not_found(http_status: int, error: ServerError, context: RequestContext, kind: BodyKind) -> str:
    if words.NO_SUCH_PARAMETERS.search(error.text):
        return "bad_request"
    if error.codes & words.MODEL_CODES or words.NO_MODEL.search(error.text):
        return "llm_unknown_model"
    if http_status == 410 or ("not_found_error" in error.codes and "model" in error.text.lower()):
        return "llm_unknown_model"
    if not context.has_succeeded:
        return WRONG_PATH
    # The address is right. Without JSON it is the 404 of a gateway or tunnel that has lost its server.
    return "llm_unknown_model" if kind == "json" else "server_error"


def _status_of_other(http_status: int, error: ServerError, context: RequestContext) -> str:
    """The status of a 400 and its kin, and of a 500, which servers send for each other's causes."""
    text, codes = error.text, error.codes
    if words.CUT_OFF.search(text) and not words.TOO_LONG.search(text):
        return CUT_OFF
    if is_filtered(error):
        return "refused"
    if codes & words.KEY_CODES or (http_status < 500 and words.KEY_REFUSED.search(text)):
        return "llm_wrong_key"
    if _refuses_parameter(error, context) or words.TOO_LONG.search(text) or words.ABOUT_REQUEST.search(text):
        return "bad_request"
    if codes & words.RATE_CODES or (http_status == 200 and words.RATE_LIMIT.search(text)):
        return "rate_limited"
    if codes & words.MODEL_CODES or (http_status < 500 and words.NO_MODEL.search(text)):
        return "llm_unknown_model"
    if words.WRONG_PATH.search(text) and not context.has_succeeded and http_status < 500:
        return WRONG_PATH
    if http_status >= 500 or http_status == 200 or codes & words.OVERLOAD_CODES or words.OVERLOADED.search(text):
        return "server_error"
    return "bad_request"


def _refuses_parameter(error: ServerError, context: RequestContext) -> bool:
    # llama-cpp-python has a 500 that only names it: "1 validation error: ('body', 'response_format', 'type')".
    if "response_format" in error.text and "response_format" in context.parameters:
        return True
    return bool(refused_parameter(error.param, error.text, context.parameters))


def is_filtered(error: ServerError) -> bool:
    """Whether a content filter refuses the question or the answer.

    A sentence about the key or the account can hold the same words ("your account was flagged"), except where the
    server gives its reasons as data.
    """
    if error.codes & words.FILTER_CODES or error.reasons:
        return True
    if any(path[-1:] in (("flagged_input",), ("flaggedInput",)) for path, _ in error.facts):
        return True
    if not words.FILTERED.search(error.text):
        return False
    return not error.codes & words.KEY_CODES and not _is_about_account(error.text)


def _is_about_account(text: str) -> bool:
    """Whether the first sentence that matters is about the key or the account, not about content."""
    key, filtered = words.KEY_REFUSED.search(text), words.FILTERED.search(text)
    return key is not None and (filtered is None or key.start() <= filtered.start())
