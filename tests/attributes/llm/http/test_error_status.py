"""What an error means: for the question, for the run, or that a retry after a wait can succeed."""

from typing import Any

import pytest

from tests.attributes.llm.http.conftest import Sender

CLOUDFLARE = b"<!DOCTYPE html><html><head><title>Access denied | llm.example used Cloudflare to restrict access</title>"


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def case(server: str, behaviour: str, handling: str, *values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.quirk(server, behaviour, handling), id=f"{server}: {behaviour}")


REFUSED = "that label is `refused`; the run continues"
OPENROUTER = error(
    'Your chosen model requires moderation and your input was flagged for "violence". No credits were charged.',
    code=403,
    metadata={"reasons": ["violence"], "flagged_input": "shrike impaling...", "provider_name": "OpenAI"},
)
AZURE = error(
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    code="content_filter",
    param="prompt",
    innererror={
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "high"}, "hate": {"filtered": False}},
    },
)
GROK = {
    "code": "The caller does not have permission to execute the specified operation",
    "error": "Content violates usage guidelines. Team: x, API key ID: y, Failed check: SAFETY_CHECK_TYPE_BIO",
}
DASHSCOPE = error("Input data may contain inappropriate content.", code="data_inspection_failed")
LITELLM = error(
    "litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException - The response was filtered",
    code="400",
    provider_specific_fields={"innererror": {"code": "ResponsibleAIPolicyViolation"}},
)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case("OpenRouter", "403 for a label that its moderation flags", REFUSED, 403, OPENROUTER),
        case("xAI", "403 for content that violates its guidelines", REFUSED, 403, GROK),
        case("Azure OpenAI", "400 of the content filter", REFUSED, 400, AZURE),
        case("DashScope", "400 `data_inspection_failed`", REFUSED, 400, DASHSCOPE),
        case(
            "Zhipu", "400 with code 1301", REFUSED, 400, error("系统检测到输入或生成内容可能包含敏感内容", code="1301")
        ),
        case("DeepSeek", "400 `Content Exists Risk`", REFUSED, 400, error("Content Exists Risk")),
        case("Moonshot", "400 for high risk", REFUSED, 400, error("The request was rejected: considered high risk")),
        case("LiteLLM", "another server's filter, wrapped", REFUSED, 400, LITELLM),
        case(
            "OpenAI",
            "400 `invalid_prompt` for its usage policy",
            REFUSED,
            400,
            error(
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                code="invalid_prompt",
            ),
        ),
        case("Amazon Bedrock", "a guardrail that intervenes", REFUSED, 400, {"message": "Blocked by guardrail gr-1"}),
        case(
            "MiniMax",
            "sensitive input under 200",
            REFUSED,
            200,
            {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
        ),
        case("Volcengine", "`SensitiveContentDetected`", REFUSED, 400, error("no", code="SensitiveContentDetected")),
        case(
            "Google Gemini", "400 for a blocked prompt", REFUSED, 400, [error("The prompt was blocked due to safety")]
        ),
        (200, error("Your request was flagged by our moderation")),
        (500, error("Output data may contain inappropriate content.")),
        (451, error("Request rejected by safety system")),
    ],
)
@pytest.mark.parametrize("succeeded", [False, True])
def test_a_filter_refuses_the_question_only(succeeded: bool, status: int, body: Any, send: Sender) -> None:
    raw = send(body, status, succeeded=succeeded)
    assert (raw.status, raw.is_moderated) == ("refused", True)


def test_the_reasons_of_a_filter_are_in_the_detail(send: Sender) -> None:
    assert "violence" in send(OPENROUTER, 403).detail
    assert "(violence)" in send(AZURE, 400).detail
    assert "SAFETY_CHECK_TYPE_BIO" in send(GROK, 403).detail


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, error("Incorrect API key provided")),
        (401, None),
        case(
            "Google Gemini",
            "400 for a wrong key",
            "the run ends as `llm_wrong_key`",
            400,
            [error("API key not valid. Please pass a valid API key.", code=400, status="INVALID_ARGUMENT")],
        ),
        case(
            "OpenAI",
            "403 for a country",
            "the run ends as `llm_wrong_key`",
            403,
            error("Country, region, or territory not supported", code="unsupported_country_region_territory"),
        ),
        case(
            "Google Gemini",
            "a leaked key",
            "the run ends as `llm_wrong_key`",
            403,
            error("Your API key was reported as leaked. Please use another API key."),
        ),
        case(
            "OpenAI",
            "an account that was flagged",
            "the run ends as `llm_wrong_key`, it does not refuse labels",
            403,
            error("Your account was flagged for potentially violating our usage policies."),
        ),
        (400, error("User location is not supported for the API use.", status="FAILED_PRECONDITION")),
        (403, error("Your organization has been disabled.")),
        (403, error("IP address 1.2.3.4 is not authorized for this project")),
        (403, error("You have insufficient permissions for this operation. Missing scopes: model.request")),
        (403, {"message": "The security token included in the request is expired"}),
        (200, error("invalid api key")),
        (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}}),
    ],
)
@pytest.mark.parametrize("succeeded", [False, True])
def test_a_refused_key_is_told_from_a_refused_question(succeeded: bool, status: int, body: Any, send: Sender) -> None:
    assert send(body, status, succeeded=succeeded).status == "llm_wrong_key"


@pytest.mark.parametrize("body", [error("Forbidden"), {"code": "permission-denied", "error": "denied"}, None, {}])
@pytest.mark.quirk(
    "all servers", "403 without a reason", "before the first success the key is refused, later only that question"
)
def test_any_other_403_concerns_the_key_until_it_has_worked(body: Any, send: Sender) -> None:
    assert send(body, 403).status == "llm_wrong_key"
    raw = send(body, 403, succeeded=True)
    assert (raw.status, raw.is_moderated) == ("refused", False)


@pytest.mark.quirk("Cloudflare and other firewalls", "403 with a page", "waits: it does not refuse all further labels")
def test_the_page_of_a_firewall_refuses_no_label(send: Sender) -> None:
    raw = send(CLOUDFLARE, 403)
    assert (raw.status, "Cloudflare" in raw.detail) == ("llm_wrong_key", True)
    assert send(CLOUDFLARE, 403, succeeded=True).status == "server_error"


ENDS = "the run ends as `llm_quota_exhausted`"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case(
            "OpenAI",
            "429 `insufficient_quota`",
            ENDS,
            429,
            error(
                "You exceeded your current quota, please check your plan and billing details.",
                code="insufficient_quota",
            ),
        ),
        case(
            "Anthropic",
            "400 `credit balance is too low`",
            ENDS,
            400,
            error("Your credit balance is too low to access the Anthropic API.", type="invalid_request_error"),
        ),
        case(
            "Anthropic",
            "400 for the own usage limit",
            ENDS,
            400,
            error("You have reached your specified API usage limits."),
        ),
        case("DeepSeek", "402 `Insufficient Balance`", ENDS, 402, error("Insufficient Balance")),
        case("OpenRouter", "402 for too few credits", ENDS, 402, error("This request requires more credits", code=402)),
        case("OpenRouter", "403 `Key limit exceeded`", ENDS, 403, error("Key limit exceeded (total limit)", code=403)),
        case(
            "Moonshot",
            "429 for a suspended account",
            ENDS,
            429,
            error(
                "Your account is suspended due to insufficient balance, please recharge",
                type="exceeded_current_quota_error",
            ),
        ),
        case("Zhipu", "429 with code 1113", ENDS, 429, error("余额不足或无可用资源包,请充值。", code="1113")),
        case(
            "MiniMax",
            "no balance under 200",
            ENDS,
            200,
            {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        ),
        case(
            "DashScope",
            "403 for a used free quota",
            ENDS,
            403,
            error("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"),
        ),
        case("LiteLLM", "400 for a spent budget", ENDS, 400, error("Budget has been exceeded! Current cost: 1.1")),
        case(
            "Google Gemini",
            "429 with a limit of 0",
            ENDS,
            429,
            error(
                "Quota exceeded for metric: free_tier_requests, limit: 0, model: gemini-3-pro",
                status="RESOURCE_EXHAUSTED",
            ),
        ),
        (429, error("You have used all available credits or reached your monthly spending limit")),
        (403, error("Not enough credits")),
    ],
)
def test_an_empty_account_ends_the_run(status: int, body: Any, send: Sender) -> None:
    assert send(body, status).status == "llm_quota_exhausted"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        case(
            "Google Gemini",
            "429 `exceeded your current quota` per minute",
            "waits",
            429,
            [
                error(
                    "You exceeded your current quota, please check your plan and billing details. Please retry in 12s.",
                    code=429,
                    status="RESOURCE_EXHAUSTED",
                )
            ],
        ),
        case(
            "OpenAI",
            "a rate limit whose text offers billing",
            "waits",
            429,
            error(
                "Rate limit reached. You can increase it by adding a payment method: add billing",
                code="rate_limit_exceeded",
            ),
        ),
        case(
            "OpenRouter",
            "429 `Add 10 credits`",
            "waits until the limit resets",
            429,
            error(
                "Rate limit exceeded: free-models-per-min. Add 10 credits to unlock more",
                metadata={
                    "headers": {"X-RateLimit-Reset": "4102444800000", "X-RateLimit-Remaining": "0"},
                    "retry_after": 9,
                },
            ),
        ),
        case("Zhipu", "code 1302 under 200", "waits", 200, error("您当前使用该API的并发数过高", code="1302")),
        (429, None),
        (429, b"slow down"),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
        (200, {"message": "Too many requests", "code": 429}),
        (403, error("You have exceeded a secondary rate limit")),
    ],
)
def test_a_rate_limit_waits(status: int, body: Any, send: Sender) -> None:
    assert send(body, status).status == "rate_limited"
