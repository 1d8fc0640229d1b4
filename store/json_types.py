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


class PhaseJSON(TypedDict):
    """A phase of a part: `teacher features`, `training`. Its figures are final when the next phase begins."""

    name: str
    done: int
    total: int
    unit: str


class TallyJSON(TypedDict):
    """Sums over the parts of one kind of a job; running parts count in `num_begun` only.

    `phases`: those that the part of this kind has begun; the figures of the last one are those of the part itself.
    """

    kind: str
    done: int
    total: int
    unit: str
    num_live: int
    num_begun: int
    phases: NotRequired[list[PhaseJSON]]
