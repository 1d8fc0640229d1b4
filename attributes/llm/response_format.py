"""Which form of request a server understands: structured output by a ladder, and parameters that some refuse.

    json_schema          `response_format` of OpenAI's kind, with the schema, which the server holds the answer to
    json_object_schema   the schema beside `json_object`, as llama-cpp-python and others take it; also in the prompt
    json_object          `response_format` asks for JSON; the schema stands in the prompt
    prose                no `response_format`; the schema stands in the prompt, the JSON is found in the answer

Servers that call themselves OpenAI-compatible refuse `response_format` (400, 422) or ignore it. Newer OpenAI models
refuse `max_tokens` (they want `max_completion_tokens`) and any temperature but their own. What worked is remembered
per base URL and model.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from attributes.llm.requests import ChatRequest
from attributes.llm.settings import LLMSettings

Rung = Literal["json_schema", "json_object_schema", "json_object", "prose"]
RUNGS: tuple[Rung, ...] = ("json_schema", "json_object_schema", "json_object", "prose")
MAX_MISSES = 3


@dataclass(frozen=True)
class ResponseFormat:
    """A form of request: its rung, and which parameters it carries."""

    rung: Rung = "json_schema"
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_temperature: bool = True

    def lower(self) -> "ResponseFormat | None":
        """The form one rung down, None at the bottom."""
        rest = RUNGS[RUNGS.index(self.rung) + 1 :]
        return replace(self, rung=rest[0]) if rest else None

    def without(self, param: str, message: str) -> "ResponseFormat | None":
        """The form that avoids a refused parameter; None if the refusal names none that can be avoided."""
        if self.limit_name == "max_tokens" and (param == "max_tokens" or "max_completion_tokens" in message):
            return replace(self, limit_name="max_completion_tokens")
        if self.send_temperature and (param == "temperature" or "'temperature'" in message):
            return replace(self, send_temperature=False)
        return None

    def body(self, request: ChatRequest, *, model: str, temperature: float, max_tokens: int) -> dict[str, Any]:
        """The body of the HTTP request."""
        if self.rung != "json_schema":
            request = request.with_schema_in_prompt()
        body: dict[str, Any] = {"model": model, "messages": request.sendable(), self.limit_name: max_tokens}
        if self.send_temperature:
            body["temperature"] = temperature
        if self.rung == "json_schema":
            schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.rung == "json_object_schema":
            body["response_format"] = {"type": "json_object", "schema": request.schema}
        elif self.rung == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def as_json(self) -> dict[str, Any]:
        """The form as rows keep it; `form_from_json` takes it back."""
        return asdict(self)


def form_from_json(data: Mapping[str, Any]) -> ResponseFormat | None:
    """The form that `as_json` wrote; None for anything else, such as what a later release wrote."""
    fields = {"rung": RUNGS, "limit_name": ("max_tokens", "max_completion_tokens"), "send_temperature": (True, False)}
    if set(data) != set(fields) or any(data[name] not in allowed for name, allowed in fields.items()):
        return None
    return ResponseFormat(**data)


Learnt = Callable[[str, str, Mapping[str, Any]], None]


class FormatFallback:
    """Remembers, per base URL and model, the highest rung that gave a valid answer, until it misses too often.

    One miss is a model's slip and moves only that question down; three in a row are a server that ignores the form.
    What is learnt can be kept for other processes: `on_learnt(base_url, model, form)` is told of every change, at once
    and in the event loop that learns it, and `recall` takes in what was told to another ladder.
    """

    def __init__(self, on_learnt: Learnt | None = None) -> None:
        self._on_learnt = on_learnt
        self._known: dict[tuple[str, str], ResponseFormat] = {}
        self._params: dict[tuple[str, str], ResponseFormat] = {}
        self._misses: dict[tuple[str, str], int] = {}

    def knows(self, settings: LLMSettings) -> bool:
        """Whether a valid answer has come from this place before."""
        return _place(settings) in self._known

    def recall(self, base_url: str, model: str, form: Mapping[str, Any]) -> None:
        """Take in a known form, as JSON; one that is not understood is left for the server to be tried again."""
        if found := form_from_json(form):
            self._known[base_url, model] = self._params[base_url, model] = found
            self._misses[base_url, model] = 0

    def start(self, settings: LLMSettings) -> ResponseFormat:
        """The form to begin a question with."""
        place = _place(settings)
        params = self._params.get(place, ResponseFormat())
        known = self._known.get(place)
        return replace(params, rung=known.rung) if known else params

    def refused_param(self, settings: LLMSettings, form: ResponseFormat) -> None:
        """The server refuses a parameter that `form` avoids: no question need try it again."""
        self._params[_place(settings)] = form

    def missed(self, settings: LLMSettings, form: ResponseFormat) -> None:
        """The form was refused, or its answer had not the shape that it asks for."""
        place = _place(settings)
        if (known := self._known.get(place)) and known.rung == form.rung:
            self._misses[place] = self._misses.get(place, 0) + 1

    def worked(self, settings: LLMSettings, form: ResponseFormat) -> None:
        """The form gave a valid answer."""
        place = _place(settings)
        known = self._known.get(place)
        worn = self._misses.get(place, 0) >= MAX_MISSES
        if known is None or worn or RUNGS.index(form.rung) <= RUNGS.index(known.rung):
            self._known[place] = form
            self._misses[place] = 0
            if form != known and self._on_learnt is not None:
                self._on_learnt(*place, form.as_json())


def _place(settings: LLMSettings) -> tuple[str, str]:
    return settings.base_url, settings.model


shared_ladder = FormatFallback()
