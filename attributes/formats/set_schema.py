"""The schema of our own attribute set files, as models that check fast and as the JSON Schema they give.

`set_schema.json` beside this file is for readers and other tools; `python -m attributes.formats.set_schema` writes it
again.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from attributes.text import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS
from attributes.types import LineKind, Origin

SCHEMA_FILE = Path(__file__).with_name("set_schema.json")

Short = Annotated[str, Field(max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LineModel(_Strict):
    """One thing said of a label."""

    kind: LineKind
    text: str = Field(max_length=5_000, description="A sentence; or what completes: a photo of this, which has ...")
    part: Short = Field("", description="The part that a phrase is about; empty where not known.")
    value: Short = Field("", description="How that part looks; empty where not known.")
    about: Short = Field("", description="The question answered, or the label that is told apart from.")
    other_value: Short = Field("", description="How that part of the other label looks.")
    origin: Origin = "import"
    locked: bool = Field(False, description="Kept by every later enrichment.")
    strategy: Short = Field("", description="Name and version of the prompt, such as phrases@1.")
    call: Short = Field("", description="Key of the LLM call that the line came from.")


class EntryModel(_Strict):
    """What is said of one label."""

    label: str = Field(min_length=1, max_length=MAX_LABEL_CHARS)
    sense: str | None = Field(None, max_length=MAX_SENSE_CHARS, description="Tells labels of one name apart.")
    lines: list[LineModel] = Field([], max_length=500)
    flags: list[Short] = Field([], max_length=100, description="What attributes.flags found.")


class SetModel(_Strict):
    """What is said of each label of a vocabulary, in the vocabulary's order."""

    model_config = ConfigDict(title="Limbeck attribute set, version 2")

    format: Literal["limbeck.attributes"]
    version: Literal[2]
    domain: str | None = Field(None, max_length=MAX_DOMAIN_CHARS, description="What all labels are.")
    strategy: Short | None = Field(None, description="Name and version of the prompt, such as describe@1.")
    model: Short | None = Field(None, description="The model that was asked.")
    entries: list[EntryModel]


def main() -> None:
    """Write `set_schema.json` from the models."""
    SCHEMA_FILE.write_text(json.dumps(SetModel.model_json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
