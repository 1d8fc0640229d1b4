"""The schema of Limbeck's JSON format as pydantic models.

`set_schema.json` beside this file is their JSON Schema, for readers and other tools. Run
`python -m attributes.formats.set_schema` to generate it.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from attributes.types import LineKind, Origin
from limbeck.shared.labels import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS

SCHEMA_FILE = Path(__file__).with_name("set_schema.json")

Short = Annotated[str, Field(max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LineModel(_Strict):
    """One line of a label: a sentence or a phrase."""

    kind: LineKind
    text: str = Field(max_length=5_000, description="A sentence, or the end of: a photo of this, which has ...")
    part: Short = Field("", description="The part that a phrase is about; empty if unknown.")
    value: Short = Field("", description="How that part looks; empty if unknown.")
    about: Short = Field("", description="The text of the answered question, or the contrasted label.")
    other_value: Short = Field("", description="How that part looks in the contrasted label.")
    origin: Origin = "import"
    locked: bool = Field(False, description="Whether later enrichments keep the line.")
    strategy: Short = Field("", description="Name and version of the prompt, such as phrases@1.")
    call: Short = Field("", description="Key of the LLM call that the line came from.")


class EntryModel(_Strict):
    """All lines of one label."""

    label: str = Field(min_length=1, max_length=MAX_LABEL_CHARS)
    sense: str | None = Field(None, max_length=MAX_SENSE_CHARS, description="Distinguishes labels with the same name.")
    lines: list[LineModel] = Field([], max_length=500)
    flags: list[Short] = Field([], max_length=100, description="Names of faults found by attributes.flags.")


class SetModel(_Strict):
    """The attributes of each label of a vocabulary, in the order of the vocabulary."""

    model_config = ConfigDict(title="Limbeck attribute set, version 2")

    format: Literal["limbeck.attributes"]
    version: Literal[2]
    domain: str | None = Field(None, max_length=MAX_DOMAIN_CHARS, description="What all labels are, such as birds.")
    strategy: Short | None = Field(None, description="Name and version of the prompt, such as describe@1.")
    model: Short | None = Field(None, description="The LLM that was queried.")
    entries: list[EntryModel]


def main() -> None:
    """Generate `set_schema.json`."""
    SCHEMA_FILE.write_text(json.dumps(SetModel.model_json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
