"""The facts of a model card, and how its texts and tables are written.

Labels, attributes and names come from people and language models; `escape` makes them plain text, so that none of them
becomes markup, a link or code.
"""

import re
import string
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from distill.bundle.pairing import PairingLoad
from distill.json_types import EvaluationJSON, JSONObject, ModelArgs, StudentEvaluation, StudentPreprocess
from distill.texts.text_templates import TEXT_KIND_TITLES

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SHA256_LENGTH = 64
TEMPERATURE = 0.07
"""The temperature of a bundle that does not give one: the paper's."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """The facts of a model card.

    `preprocess`: as in `distill.bundle.write.StudentWeights`. `evaluation`: `text`, the measured parts `id` and `ood`,
    and under `teacher` a list of evaluations of the teacher. `made_from`: digests by name, nested or not.
    `pairing`: how open_clip loads the pairing; None without one. `onnx`: the names of the files in `onnx/`.
    `left_out`: optional part that the bundle lacks -> reason. `needs_transformers`: open_clip loads the tokenizer with
    the transformers library. `num_context`: number of learned vectors before a label's text.
    """

    student: str
    num_parameters: int
    width: int
    preprocess: StudentPreprocess
    teacher: str
    labels: Sequence[str]
    evaluation: StudentEvaluation
    made_from: JSONObject
    model_args: ModelArgs = field(default_factory=ModelArgs)
    num_shortened: int = 0
    pairing: PairingLoad | None = "plain"
    onnx: Collection[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    needs_transformers: bool = False
    num_context: int = 0

    @property
    def temperature(self) -> float:
        """The temperature of the softmax over labels that the student was trained with."""
        given = section(section(self.made_from, "config"), "objective").get("temperature")
        return float(given) if isinstance(given, int | float) else TEMPERATURE


class InputDigest(NamedTuple):
    """An input of a student: its kind, its id or name (empty if it has none), and its digest in hexadecimal."""

    kind: str
    name: str
    digest: str


KINDS = {
    "attribute_set": "attribute set",
    "captions": "captions",
    "caption_set": "caption set",
    "dataset": "dataset",
    "pictures": "decoded training images",
    "start": "student that the training started from",
    "teacher": "teacher",
    "text_targets": "text targets",
    "texts": "prompts (the encoded texts)",
    "vocabulary": "vocabulary",
}
"""Name in `made_from` -> how the card names it."""


def input_digests(made_from: JSONObject) -> list[InputDigest]:
    """Every input of `made_from` that has a digest, one row each."""
    found = {row[::2]: row for row in _digests(made_from)}  # one of equal kind and digest
    return sorted(found.values())


def _digests(made_from: JSONObject) -> Iterator[InputDigest]:
    for name, value in section(made_from, "digests").items():
        yield InputDigest(_kind(name), "", str(value))
    for name, value in made_from.items():
        if isinstance(value, str) and len(value) == SHA256_LENGTH:
            yield InputDigest(_kind(name), "", value)
        elif isinstance(value, Mapping) and (digest := value.get("digest")):
            yield InputDigest(_kind(name), str(value.get("id") or value.get("ref") or ""), str(digest))
    if digest := section(made_from, "teacher").get("preprocess_digest"):
        yield InputDigest("preprocessing of the teacher", "", str(digest))
    initial = section(made_from, "initial_weights")
    if digest := initial.get("sha256"):
        yield InputDigest("weights before training", str(initial.get("source", "")), str(digest))


def _kind(name: str) -> str:
    return KINDS.get(name, name.replace("_", " "))


def dataset_digest(made_from: JSONObject) -> str | None:
    """The digest of the dataset; None if it is not recorded."""
    return next((row.digest for row in input_digests(made_from) if row.kind == KINDS["dataset"]), None)


def section(tree: JSONObject, name: str) -> JSONObject:
    """The object `name` of `tree`; empty if there is none."""
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}


def escape(text: str) -> str:
    """Text as Markdown that shows exactly this text, on one line."""
    printable = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(ENTITIES.get(c) or ("\\" + c if c in string.punctuation else c) for c in printable)


def plain(markdown: str) -> str:
    """Markdown for a terminal: escaped characters as they are."""
    characters = {entity: character for character, entity in ENTITIES.items()}
    return re.sub(r"\\([!-/:-@[-`{-~])|&\w+;", lambda at: at[1] or characters.get(at[0], at[0]), markdown)


def table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head. The cells are written as they are."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def share(value: float) -> str:
    """A share of 1 as per cent."""
    return f"{value:.1%}"


def text_title(evaluation: EvaluationJSON) -> str:
    """What the texts of an evaluation consist of."""
    return TEXT_KIND_TITLES.get(str(evaluation.get("text")), "unknown")
