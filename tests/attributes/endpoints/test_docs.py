"""`docs/llm.md` lists every setting and every field, and its example is a valid file."""

import re
from pathlib import Path

from attributes.endpoints.endpoint import Endpoint
from attributes.endpoints.endpoint_file import read_endpoints
from store.settings import Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "llm.md").read_text(encoding="utf-8")


def test_the_example_is_a_valid_file(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "endpoints.toml"
    path.write_text(example, encoding="utf-8")
    assert [endpoint.name for endpoint in read_endpoints(path)] == ["openrouter", "azure", "local"]


def test_every_setting_is_in_the_table() -> None:
    table = PAGE.partition("## Settings")[2].partition("## Several endpoints")[0]
    names = {
        name.lower() for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"\w+", row)
    }
    assert names == {name.removeprefix("llm_") for name in Settings.model_fields if name.startswith("llm_")}


def test_every_field_of_an_endpoint_is_named() -> None:
    section = PAGE.partition("## Several endpoints")[2].partition("## Probe")[0].rpartition("```")[2]
    given_by_reference = {"api_key", "headers"}
    assert set(Endpoint.model_fields) - given_by_reference <= set(re.findall(r"`(\w+)`", section))
