"""Which response format a server understands: levels of structured output, and parameters that some servers refuse.

    json_schema          OpenAI's `response_format` with the schema, which the server enforces
    json_object_schema   the schema beside `json_object`, as llama-cpp-python and others accept; also in the prompt
    json_object          `response_format` requests JSON; the schema is in the prompt
    prose                no `response_format`; the schema is in the prompt, the JSON is found in the response

OpenAI-compatible servers may refuse `response_format` (400, 422) or ignore it. Newer OpenAI models refuse `max_tokens`
(they take `max_completion_tokens`) and every temperature except their default. The format that worked is remembered per
base URL and model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NotRequired, TypedDict, cast

from attributes.llm.requests import ChatRequest, Message
from attributes.llm.settings import LLMSettings
from attributes.prompts.strategy import ObjectSchema

FormatLevel = Literal["json_schema", "json_object_schema", "json_object", "prose"]
LimitName = Literal["max_tokens", "max_completion_tokens"]
FORMAT_LEVELS: tuple[FormatLevel, ...] = ("json_schema", "json_object_schema", "json_object", "prose")
MAX_FAILURES = 3


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
    """The body of a request to `/chat/completions`."""

    model: str
    messages: list[Message]
    max_tokens: NotRequired[int]
    max_completion_tokens: NotRequired[int]
    temperature: NotRequired[float]
    response_format: NotRequired[ResponseFormatParam]


class ResponseFormatJSON(TypedDict):
    """A response format as it is stored."""

    rung: FormatLevel
    limit_name: LimitName
    send_temperature: bool


@dataclass(frozen=True)
class ResponseFormat:
    """The level of structured output, and which parameters the request has."""

    level: FormatLevel = "json_schema"
    limit_name: LimitName = "max_tokens"
    send_temperature: bool = True

    def lower(self) -> "ResponseFormat | None":
        """The format one level down; None at the lowest level."""
        rest = FORMAT_LEVELS[FORMAT_LEVELS.index(self.level) + 1 :]
        return replace(self, level=rest[0]) if rest else None

    def without(self, param: str, message: str) -> "ResponseFormat | None":
        """The format without the refused parameter; None if the error names no parameter that can be left out."""
        if self.limit_name == "max_tokens" and (param == "max_tokens" or "max_completion_tokens" in message):
            return replace(self, limit_name="max_completion_tokens")
        if self.send_temperature and (param == "temperature" or "'temperature'" in message):
            return replace(self, send_temperature=False)
        return None

    def body(self, request: ChatRequest, *, model: str, temperature: float, max_tokens: int) -> ChatBody:
        """The body of the HTTP request."""
        if self.level != "json_schema":
            request = request.with_schema_in_prompt()
        body: ChatBody = {"model": model, "messages": request.messages_to_send()}
        body[self.limit_name] = max_tokens
        if self.send_temperature:
            body["temperature"] = temperature
        if self.level == "json_schema":
            schema: NamedSchema = {"name": request.schema_name, "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.level == "json_object_schema":
            body["response_format"] = {"type": "json_object", "schema": request.schema}
        elif self.level == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def as_json(self) -> ResponseFormatJSON:
        """The stored form; `response_format_from_json` reads it."""
        return {"rung": self.level, "limit_name": self.limit_name, "send_temperature": self.send_temperature}


def response_format_from_json(data: Mapping[str, object]) -> ResponseFormat | None:
    """Read what `as_json` wrote. Returns None for anything else, such as the format of a later release."""
    allowed = {
        "rung": FORMAT_LEVELS,
        "limit_name": ("max_tokens", "max_completion_tokens"),
        "send_temperature": (True, False),
    }
    if set(data) != set(allowed) or any(data[name] not in values for name, values in allowed.items()):
        return None
    saved = cast(ResponseFormatJSON, data)
    return ResponseFormat(saved["rung"], saved["limit_name"], saved["send_temperature"])


OnFormatLearned = Callable[[str, str, ResponseFormatJSON], None]


class FormatFallback:
    """Remembers, per base URL and model, the highest level that gave a valid response, until it fails too often.

    One failure moves only that question down a level, because a model can err once; `MAX_FAILURES` in a row mean that
    the server ignores the format. `on_learned(base_url, model, response_format)` is called at once, in the same event
    loop, for every change, so that other processes can store it and `restore` it.
    """

    def __init__(self, on_learned: OnFormatLearned | None = None) -> None:
        self._on_learned = on_learned
        self._known: dict[tuple[str, str], ResponseFormat] = {}
        self._params: dict[tuple[str, str], ResponseFormat] = {}
        self._num_failures: dict[tuple[str, str], int] = {}

    def is_known(self, settings: LLMSettings) -> bool:
        """Whether this server and model have given a valid response before."""
        return _place(settings) in self._known

    def restore(self, base_url: str, model: str, saved: Mapping[str, object]) -> None:
        """Take over a stored format. One that cannot be read is ignored, and the server is tried again."""
        if found := response_format_from_json(saved):
            self._known[base_url, model] = self._params[base_url, model] = found
            self._num_failures[base_url, model] = 0

    def initial_format(self, settings: LLMSettings) -> ResponseFormat:
        """The format of a question's first request."""
        place = _place(settings)
        params = self._params.get(place, ResponseFormat())
        known = self._known.get(place)
        return replace(params, level=known.level) if known else params

    def record_refused_param(self, settings: LLMSettings, response_format: ResponseFormat) -> None:
        """The server refuses a parameter that `response_format` leaves out; no later question sends it."""
        self._params[_place(settings)] = response_format

    def record_failure(self, settings: LLMSettings, response_format: ResponseFormat) -> None:
        """The server refused the format, or its response did not follow it."""
        place = _place(settings)
        if (known := self._known.get(place)) and known.level == response_format.level:
            self._num_failures[place] = self._num_failures.get(place, 0) + 1

    def record_success(self, settings: LLMSettings, response_format: ResponseFormat) -> None:
        """The format gave a valid response."""
        place = _place(settings)
        known = self._known.get(place)
        failed_too_often = self._num_failures.get(place, 0) >= MAX_FAILURES
        if (
            known is None
            or failed_too_often
            or FORMAT_LEVELS.index(response_format.level) <= FORMAT_LEVELS.index(known.level)
        ):
            self._known[place] = response_format
            self._num_failures[place] = 0
            if response_format != known and self._on_learned is not None:
                self._on_learned(*place, response_format.as_json())


def _place(settings: LLMSettings) -> tuple[str, str]:
    return settings.base_url, settings.model


shared_fallback = FormatFallback()
