"""The JSON Schema of Limbeck's JSON format."""

import json

from attributes.formats.set_schema import SCHEMA_FILE, SetModel


def test_the_schema_file_is_generated_from_the_models() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == SetModel.model_json_schema()
