"""Errors about the request, the model, the address, and a server that is away."""

import json
from typing import Any

import pytest

from tests.attributes.llm.http.conftest import Sender
from tests.attributes.llm.http.test_error_status import case, error


@pytest.mark.quirk("OpenAI, Groq", "429 or 413 for a request that alone exceeds the limit", "no wait: `bad_request`")
@pytest.mark.parametrize("status", [413, 429])
def test_a_request_above_the_limit_does_not_wait(status: int, send: Sender) -> None:
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31000."
    assert send(error(message, code="rate_limit_exceeded"), status).status == "bad_request"


@pytest.mark.parametrize("status", [408, 409, 425, 498, 499, 500, 502, 503, 504, 520, 522, 524, 525, 527, 529, 530])
def test_a_fault_of_the_server_waits(status: int, send: Sender) -> None:
    assert send(error("no"), status).status == "server_error"
    assert send(b"<html><h1>Bad Gateway</h1></html>", status).status == "server_error"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case("llama.cpp", "503 `Loading model`", "waits until it has loaded", 503, error("Loading model", code=503)),
        case(
            "Anthropic",
            "529 `overloaded_error`",
            "waits",
            529,
            {"type": "error", "error": {"type": "overloaded_error"}},
        ),
        (400, error("The model is overloaded. Please try again")),
        (503, error("The model 'x' is currently loading")),
        case(
            "Cloudflare Tunnel, ngrok",
            "404 of a tunnel that lost its server",
            "waits, if the address worked",
            404,
            b"<html><title>Tunnel not found</title></html>",
        ),
    ],
)
def test_a_server_that_is_away_for_a_while_waits(status: int, body: Any, send: Sender) -> None:
    assert send(body, status, succeeded=True).status == "server_error"


LOWER = "that parameter is left out"


@pytest.mark.parametrize(
    ("status", "body", "param"),
    [
        case(
            "Gemma in vLLM and others",
            "500 `System role not supported`",
            LOWER,
            500,
            error("System role not supported"),
            "",
        ),
        case(
            "llama-cpp-python",
            "500 for a response format",
            LOWER,
            500,
            error("1 validation error: ('body', 'response_format', 'type')"),
            "",
        ),
        case(
            "OpenRouter",
            "404 because no provider takes all parameters",
            LOWER,
            404,
            error("No endpoints found that can handle the requested parameters."),
            "",
        ),
        case(
            "FastAPI servers",
            "422 with a list of errors",
            "the parameter is read from `loc`",
            422,
            {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be greater than 0", "type": "gt"}]},
            "temperature",
        ),
        (400, error("Unsupported value", param="temperature"), "temperature"),
        (400, error("This model's maximum context length is 8192 tokens. Reduce the length of the messages."), ""),
        (500, error("Requested tokens (9000) exceed context window of 4096"), ""),
        (400, error("max_tokens is too large: 9000. This model supports at most 4096 completion tokens"), ""),
        (413, b"<html><title>413 Request Entity Too Large</title></html>", ""),
        (414, None, ""),
        (415, error("Unsupported media type"), ""),
        (400, error("temperature does not work with this model, invalid request"), ""),
    ],
)
def test_a_refused_request_does_not_wait(status: int, body: Any, param: str, send: Sender) -> None:
    raw = send(body, status)
    assert (raw.status, raw.param) == ("bad_request", param)


@pytest.mark.parametrize(
    "message",
    [
        "Could not finish the message because max_tokens or model output limit was reached. Please try again with "
        "higher max_tokens.",
        "Output token limit was reached before the response was complete",
        "max completion tokens reached before generating a valid document",
        "Response truncated: the maximum length was hit",
        "The model hit the max output tokens",
    ],
)
@pytest.mark.quirk("OpenAI, Azure OpenAI, Groq", "400 because the answer reached its limit", "the limit grows once")
def test_an_error_about_the_token_limit_is_a_cut_off_answer(message: str, send: Sender) -> None:
    raw = send(error(message, type="invalid_request_error"), 400)
    assert (raw.status, raw.cut_off, raw.text) == ("ok", True, None)


@pytest.mark.quirk(
    "Groq", "400 `json_validate_failed` with the answer in the error", "the answer is read and validated"
)
def test_an_answer_inside_an_error_is_read(send: Sender) -> None:
    answer = json.dumps({"label": "robin"})
    raw = send(error("Failed to validate JSON.", code="json_validate_failed", failed_generation=answer), 400)
    assert (raw.status, raw.text) == ("ok", answer)
    cut = error(
        "Failed", code="json_validate_failed", failed_generation="max completion tokens reached before generating"
    )
    assert send(cut, 400).cut_off


NO_MODEL = "the run ends as `llm_unknown_model` and names the model"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case("Ollama", "404 `try pulling it first`", NO_MODEL, 404, error('model "m" not found, try pulling it first')),
        case(
            "vLLM",
            "404 with the error at the top",
            NO_MODEL,
            404,
            {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        ),
        case("Azure OpenAI", "404 `DeploymentNotFound`", NO_MODEL, 404, error("no", code="DeploymentNotFound")),
        case("DeepSeek", "400 `Model Not Exist`", NO_MODEL, 400, error("Model Not Exist")),
        case("OpenRouter", "400 for a model ID", NO_MODEL, 400, error("m is not a valid model ID", code=400)),
        case("LM Studio", "400 without a loaded model", NO_MODEL, 400, error("No models loaded. Please load a model")),
        case(
            "Anthropic",
            "404 that only names the model",
            NO_MODEL,
            404,
            {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}},
        ),
        case(
            "Amazon Bedrock",
            "403 for a model",
            NO_MODEL,
            403,
            {"message": "You don't have access to the model with the specified model ID."},
        ),
        (403, error("Project p does not have access to model m", code="model_not_found")),
        (410, error("gone")),
    ],
)
@pytest.mark.parametrize("succeeded", [False, True])
def test_an_unknown_model_is_told_from_a_wrong_path(succeeded: bool, status: int, body: Any, send: Sender) -> None:
    raw = send(body, status, succeeded=succeeded)
    assert raw.status == "llm_unknown_model"
    assert "try" not in raw.detail.replace("try pulling", "")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case(
            "LM Studio",
            "200 `Unexpected endpoint or method`",
            "the run ends with a hint at `/v1`",
            200,
            {"error": "Unexpected endpoint or method. (POST /chat/completions)"},
        ),
        case(
            "web pages",
            "an HTML page under 200",
            "the run ends with the page's title and a hint",
            200,
            b"<!DOCTYPE html><html><head><title>Open WebUI</title></head></html>",
        ),
        (404, b"404 page not found"),
        (404, {"detail": "Not Found"}),
        (404, error("Invalid URL (POST /chat/completions)", type="invalid_request_error")),
        (404, None),
        (405, {"detail": "Method Not Allowed"}),
        (404, b"<html><body>Cannot POST /chat/completions</body></html>"),
        (200, {"detail": "Not Found"}),
    ],
)
def test_a_wrong_path_hints_at_the_right_one(status: int, body: Any, send: Sender) -> None:
    raw = send(body, status)
    assert raw.status == "llm_unknown_model"
    assert "LIMBECK_LLM_BASE_URL=" in raw.detail
    assert send(body, status, succeeded=True).status in ("server_error", "llm_unknown_model")
