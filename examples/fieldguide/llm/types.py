"""Types of the JSON that the stand-in LLM reads and writes: schemas, chat requests and batches of the OpenAI API.

A request is not validated, so its fields can be missing or of other types; a reader handles KeyError and TypeError.
"""

from collections.abc import Mapping
from typing import NotRequired, Required, TypedDict

JSONSchema = TypedDict(
    "JSONSchema",
    {
        "$ref": str,
        "allOf": "list[JSONSchema]",
        "anyOf": "list[JSONSchema]",
        "oneOf": "list[JSONSchema]",
        "const": object,
        "enum": list[object],
        "type": str | list[str],
        "properties": "dict[str, JSONSchema]",
        "required": list[str],
        "items": "JSONSchema",
        "minItems": int,
        "maxItems": int,
        "minimum": float,
        "exclusiveMinimum": float,
        "maximum": float,
        "maxLength": int,
    },
    total=False,
)
"""A JSON Schema; only the keywords that are read."""


class NamedSchema(TypedDict, total=False):
    """The schema of a response format `json_schema`."""

    schema: JSONSchema


class ResponseFormat(TypedDict, total=False):
    """The response format of a request."""

    type: str
    json_schema: NamedSchema


class ImageURL(TypedDict):
    """The address of an image in a message."""

    url: str


class ContentPart(TypedDict, total=False):
    """A text or an image in the content of a message."""

    text: str
    image_url: ImageURL


class ChatMessage(TypedDict):
    """A message of a request."""

    role: str
    content: str | list[ContentPart]


class ChatBody(TypedDict, total=False):
    """The body of a chat request."""

    model: str
    messages: Required[list[ChatMessage]]
    temperature: float
    max_tokens: int
    max_completion_tokens: int
    response_format: ResponseFormat
    stream: bool


class FaultRecord(TypedDict, total=False):
    """A rule in a JSON list of faults; see `llm_faults`."""

    fault: Required[str]
    status: int
    retry_after: float | None
    seconds: float
    label: str | None
    calls: list[int] | None
    attempts: list[int] | None
    share: float | None
    times: int | None


class BatchLine(TypedDict):
    """One request in a batch file."""

    custom_id: str
    url: str
    body: ChatBody


class LineError(TypedDict):
    """An invalid line of a batch file."""

    code: str
    line: int
    message: str
    param: None


class LineErrors(TypedDict):
    """The invalid lines of a batch file."""

    object: str
    data: list[LineError]


class BatchRecord(TypedDict):
    """A line of the output file or of the error file of a batch."""

    id: str
    custom_id: str
    response: Mapping[str, object] | None
    error: Mapping[str, str] | None


class BatchRequest(TypedDict, total=False):
    """The body of the request that creates a batch."""

    input_file_id: str
    endpoint: str
    completion_window: str


class BatchJSON(TypedDict):
    """A batch, as the Batch API returns it."""

    id: str
    object: str
    endpoint: str
    completion_window: str
    input_file_id: str
    created_at: int
    status: str
    output_file_id: str | None
    error_file_id: str | None
    errors: LineErrors | None
    request_counts: dict[str, int]


class BatchList(TypedDict):
    """The batches of the server."""

    object: str
    data: list[BatchJSON]


class FileJSON(TypedDict):
    """An uploaded file."""

    id: str
    object: str
    bytes: int
    purpose: str
    status: str


class ReplyMessage(TypedDict):
    """The message of a completion."""

    role: str
    content: str | None
    refusal: str | None


class Choice(TypedDict):
    """The choice of a completion."""

    index: int
    message: ReplyMessage
    logprobs: NotRequired[None]
    finish_reason: str


class Completion(TypedDict):
    """A chat completion."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, int]


class StatsJSON(TypedDict):
    """The counters of the server."""

    calls: int
    in_flight: int
    max_in_flight: int
    prompt_tokens: int
    completion_tokens: int
    calls_by_label: dict[str, int]
    faults: dict[str, int]
    statuses: dict[int, int]
