"""The body of a request to `/chat/completions`, as the profile of the model requires it."""

from typing import Literal, NotRequired, TypedDict, cast

from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import ChatRequest, Message
from attributes.llm.settings import LLMSettings
from attributes.prompts.strategy import ObjectSchema


class NamedSchema(TypedDict):
    """The schema of a `json_schema` response format."""

    name: str
    strict: bool
    schema: ObjectSchema


class ResponseFormatParam(TypedDict):
    """The parameter `response_format` of a request: `json_schema` has a named schema, `json_object` may have one."""

    type: Literal["json_schema", "json_object"]
    json_schema: NotRequired[NamedSchema]
    schema: NotRequired[ObjectSchema]


class ChatBody(TypedDict):
    """The body of a request to `/chat/completions`; it can have further parameters."""

    model: str
    messages: list[Message]
    max_tokens: NotRequired[int]
    max_completion_tokens: NotRequired[int]
    temperature: NotRequired[float]
    response_format: NotRequired[ResponseFormatParam]


def build_body(
    request: ChatRequest, profile: ModelProfile, settings: LLMSettings, *, temperature: float, max_tokens: int
) -> ChatBody:
    """The body of the HTTP request, without the parameters that the profile omits and those that are null."""
    if profile.level != "json_schema":
        request = request.with_schema_in_prompt()
    messages = request.messages_to_send()
    body: dict[str, object] = {
        "model": settings.model,
        "messages": messages if profile.has_system_role else _without_system_role(messages),
        "temperature": temperature,
        **settings.extra_parameters(),
    }
    if profile.limit_name:
        body[profile.limit_name] = max_tokens
    if response_format := _response_format(request, profile):
        body["response_format"] = response_format
    sent = {name: value for name, value in body.items() if value is not None and name not in profile.omitted}
    return cast(ChatBody, sent)


def token_limit(body: ChatBody, default: int) -> int:
    """The token limit of a body; `default` if it has none."""
    return body.get("max_tokens", body.get("max_completion_tokens", default))


def sent_parameters(body: ChatBody) -> set[str]:
    """The names of the parameters of a body, and `system` if it has a system message."""
    has_system = any(message["role"] == "system" for message in body["messages"])
    return {*body, "system"} if has_system else {*body}


def _response_format(request: ChatRequest, profile: ModelProfile) -> ResponseFormatParam | None:
    match profile.level:
        case "json_schema":
            schema: NamedSchema = {"name": request.schema_name, "strict": True, "schema": request.schema}
            return {"type": "json_schema", "json_schema": schema}
        case "json_object_schema":
            return {"type": "json_object", "schema": request.schema}
        case "json_object":
            return {"type": "json_object"}
        case "prose":
            return None


def _without_system_role(messages: list[Message]) -> list[Message]:
    """The messages with the text of the system message before the user's."""
    system, *others = messages
    if system["role"] != "system" or not others:
        return messages
    first, *rest = others
    content = first["content"]
    if isinstance(content, str):
        content = f"{system['content']}\n\n{content}"
    else:
        text, *pictures = content
        assert text["type"] == "text"
        content = [{"type": "text", "text": f"{system['content']}\n\n{text['text']}"}, *pictures]
    return [{"role": "user", "content": content}, *rest]
