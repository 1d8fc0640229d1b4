"""Types of the JSON in the columns of the tables."""

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias, TypedDict

JSONValue: TypeAlias = "str | int | float | bool | None | Sequence[JSONValue] | Mapping[str, JSONValue]"
JSONObject: TypeAlias = Mapping[str, JSONValue]


class LineJSON(TypedDict):
    """A line of a label, as `attributes.types.Line.as_json` writes it: empty fields are left out."""

    kind: Literal["sentence", "phrase", "answer", "contrast", "caption"]
    text: str
    origin: NotRequired[Literal["llm", "human", "import"]]
    part: NotRequired[str]
    value: NotRequired[str]
    about: NotRequired[str]
    other_value: NotRequired[str]
    locked: NotRequired[bool]
    strategy: NotRequired[str]
    call: NotRequired[str]
