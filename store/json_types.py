"""Types of the JSON in the columns of the tables."""

from typing import Literal, NotRequired, TypedDict


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


class TallyJSON(TypedDict):
    """Sums over the parts of one kind of a job; running parts count in `num_begun` only."""

    kind: str
    done: int
    total: int
    unit: str
    num_live: int
    num_begun: int
