"""The meaning of one HTTP response: a `RawResponse`, from status, headers and body."""

from collections.abc import Mapping
from functools import partial

from attributes.llm.http.base_urls import path_hint
from attributes.llm.http.bodies import Body
from attributes.llm.http.completions import ModelAnswer, read_completion, text_of
from attributes.llm.http.error_status import CUT_OFF, WRONG_PATH, is_filtered, status_of_error
from attributes.llm.http.raw_response import RawResponse, RequestContext
from attributes.llm.http.server_errors import ServerError, error_in, is_error
from attributes.llm.http.usage import Usage, usage_in
from attributes.llm.http.waits import stated_wait_s


def read_response(http_status: int, body: Body, headers: Mapping[str, str], context: RequestContext) -> RawResponse:
    """What a response means. Texts of the answer are returned as they are; details are safe to show."""
    data = body.data
    if http_status >= 300:
        return _read_error(http_status, http_status, body, headers, context)
    if body.kind == "empty":
        detail = f"HTTP {http_status} without a body"
        return RawResponse(status="connection", http_status=http_status, detail=detail)
    if body.kind == "incomplete":
        detail = f"the response breaks off ({context.printable(error_in(data).message)})"
        return RawResponse(status="connection", http_status=http_status, detail=detail)
    if body.kind != "json":
        return _read_no_json(http_status, body, headers, context)
    if is_error(data):
        return _read_error(http_status, _status_in(error_in(data)), body, headers, context)
    if not isinstance(data, dict):
        detail = "the server's response is not a JSON object"
        return RawResponse(status="invalid_answer", http_status=http_status, detail=detail)
    return _read_completion(http_status, data, headers, context)


def _read_error(
    http_status: int, meant_status: int, body: Body, headers: Mapping[str, str], context: RequestContext
) -> RawResponse:
    """An error. `meant_status` is the HTTP status that it should have."""
    error = error_in(body.data)
    wait_s = stated_wait_s(meant_status, headers, error)
    status = status_of_error(meant_status, error, context, kind=body.kind, states_wait=wait_s is not None)
    usage = usage_in(body.data) if isinstance(body.data, dict) else Usage()
    response = partial(_response, usage, http_status=http_status)
    shown = f"HTTP {http_status}{_kind_of_page(body)}: {context.printable(error.message) or 'no message'}"
    if status == CUT_OFF:
        return response(status="ok", cut_off=True, detail=shown)
    if (failed := _failed_generation(error, body.data)) is not None:
        return response(status="ok", text=failed, detail=shown)
    if status == WRONG_PATH:
        return response(status="llm_unknown_model", detail=f"{shown}; {path_hint(context.base_url)}")
    return response(
        status=status,
        retry_after_s=wait_s,
        is_moderated=status == "refused" and is_filtered(error),
        param=error.param,
        detail=f"{shown}{_remedy(http_status, headers)}",
    )


def _read_no_json(http_status: int, body: Body, headers: Mapping[str, str], context: RequestContext) -> RawResponse:
    """Status 200 with a page or a text: no API is at the address, or a gateway stands in for it for a while."""
    error = error_in(body.data)
    shown = f"HTTP {http_status}{_kind_of_page(body)}: {context.printable(error.message)}"
    if context.has_succeeded or body.kind != "html":
        status = "server_error" if body.kind == "html" else "invalid_answer"
        detail = shown if body.kind == "html" else f"the server's response is not a JSON object ({shown})"
        return RawResponse(status=status, http_status=http_status, detail=detail)
    detail = f"{shown}; {path_hint(context.base_url)}"
    return RawResponse(status="llm_unknown_model", http_status=http_status, detail=detail)


def _read_completion(
    http_status: int, data: Mapping[str, object], headers: Mapping[str, str], context: RequestContext
) -> RawResponse:
    usage = usage_in(data)
    response = partial(_response, usage, http_status=http_status)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not {"message", "text", "delta"} & choice.keys():
        return response(status="empty_answer", detail="the response has no choices")
    completion = read_completion(data, choice)
    error = choice.get("error") or data.get("error")
    if error and not completion.text:
        body = Body("json", {"error": error, "usage": data.get("usage")})
        return _read_error(http_status, _status_in(error_in(body.data)), body, headers, context)
    if completion.ending == "error" or (error and completion.ending != "complete"):
        # The answer broke off; what came of it is a draft.
        message = error_in({"error": error}).message or "the server reports an error in the middle of the answer"
        return response(status="server_error", detail=context.printable(message))
    if completion.refusal or completion.ending == "filtered":
        reasons = ", ".join(error_in(choice).reasons)
        detail = completion.refusal or (f"content filter: {reasons}" if reasons else "content filter")
        detail = context.printable(detail)
        return response(status="refused", text=completion.text, is_moderated=True, detail=detail)
    return _answer(completion, usage, context, http_status)


def _answer(completion: ModelAnswer, usage: Usage, context: RequestContext, http_status: int) -> RawResponse:
    """The answer; the reasoning in its place if there is no other text, and never a draft of it."""
    text = completion.text
    is_blank = text is None or not text.strip()
    limit = context.token_limit
    at_limit = limit is not None and usage.completion is not None and usage.completion >= limit
    cut_off = completion.ending == "cut_off" or (at_limit and (is_blank or completion.ending == "unknown"))
    if completion.ending == "malformed" and is_blank:
        detail = "the model's output is malformed"
        return _response(usage, status="invalid_answer", http_status=http_status, detail=detail)
    if is_blank and completion.reasoning:
        text = None if cut_off else completion.reasoning
        if usage.reasoning is None:
            usage = Usage(usage.prompt, usage.completion, usage.completion, usage.cached, usage.cache_write)
    return _response(usage, status="ok", http_status=http_status, text=text, cut_off=cut_off)


def _response(
    usage: Usage,
    *,
    status: str,
    http_status: int,
    text: str | None = None,
    cut_off: bool = False,
    retry_after_s: float | None = None,
    is_moderated: bool = False,
    param: str = "",
    detail: str = "",
) -> RawResponse:
    return RawResponse(
        status=status,
        http_status=http_status,
        text=text,
        cut_off=cut_off,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        reasoning_tokens=usage.reasoning,
        cached_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        retry_after_s=retry_after_s,
        is_moderated=is_moderated,
        param=param,
        detail=detail,
    )


def _status_in(error: ServerError) -> int:
    """The HTTP status that an error under status 200 names; 200 if it names none."""
    return error.status or 200


def _failed_generation(error: ServerError, data: object) -> str | None:
    """The answer of the model that Groq rejects because it does not fit the requested format."""
    inner = data.get("error") if isinstance(data, dict) else None
    if not isinstance(inner, dict) or not {"json_validate_failed", "output_parse_failed"} & error.codes:
        return None
    return text_of(inner.get("failed_generation"))


def _kind_of_page(body: Body) -> str:
    return " with an HTML page" if body.kind == "html" else ""


def _remedy(http_status: int, headers: Mapping[str, str]) -> str:
    """What helps against an error that its server leaves unexplained."""
    if http_status == 407:
        return "; the proxy wants a user and a password: set LIMBECK_LLM_PROXY=http://USER:PASSWORD@HOST:PORT"
    if 300 <= http_status < 400:
        target = headers.get("location")
        return f"; a redirect that cannot be followed{f' to {target}' if target else ''}: check LIMBECK_LLM_BASE_URL"
    return ""
