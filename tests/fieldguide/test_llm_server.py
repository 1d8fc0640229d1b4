"""The stand-in LLM: its responses, its counters and its scripted faults."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import openai
import pytest

from examples.fieldguide.llm.answers import entry_for, fill, label_of, response_text
from examples.fieldguide.llm.faults import Faults, parse_rules
from examples.fieldguide.llm_server import RunningServer, serve
from examples.fieldguide.world import species

ROOT = Path(__file__).parents[2]
ONE, TWO = species("validation")[:2]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentence": {"type": "string"},
        "phrases": {"type": "array", "minItems": 5, "maxItems": 8, "items": {"$ref": "#/$defs/phrase"}},
    },
    "required": ["sentence", "phrases"],
    "additionalProperties": False,
    "$defs": {
        "phrase": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in ("part", "value", "phrase")},
            "required": ["part", "value", "phrase"],
            "additionalProperties": False,
        }
    },
}
STRUCTURED: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "looks", "schema": SCHEMA, "strict": True}}


@pytest.fixture
def llm() -> Iterator[RunningServer]:
    with serve() as running:
        yield running


def complete(
    llm: RunningServer,
    label: str,
    *,
    response_format: dict[str, Any] | None = STRUCTURED,
    timeout_s: float = 10,
    **more: Any,
) -> Any:
    with openai.OpenAI(base_url=llm.base_url, api_key="any", max_retries=0, timeout=timeout_s) as client:
        message = {"role": "user", "content": f'Describe the label "{label}".'}
        body: Any = {"model": "m", "messages": [message], **more}
        if response_format is not None:
            body["response_format"] = response_format
        return client.chat.completions.create(**body)


def test_structured_output_is_the_species_entry(llm: RunningServer) -> None:
    response = complete(llm, ONE.name)
    content = json.loads(response.choices[0].message.content)
    jsonschema.validate(content, SCHEMA)
    assert content == {"sentence": ONE.sentence, "phrases": list(ONE.phrases)}
    assert response.choices[0].finish_reason == "stop"
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens
    assert response.usage.prompt_tokens > 4
    assert response.usage.completion_tokens > 40


def test_json_object_and_prose(llm: RunningServer) -> None:
    content = json.loads(complete(llm, ONE.name, response_format={"type": "json_object"}).choices[0].message.content)
    assert content == {"sentence": ONE.sentence, "phrases": [entry["phrase"] for entry in ONE.phrases]}
    assert complete(llm, ONE.name, response_format=None).choices[0].message.content == ONE.sentence


def test_an_unknown_label_gets_a_response_in_the_same_format(llm: RunningServer) -> None:
    content = json.loads(complete(llm, "Laysan Albatross").choices[0].message.content)
    jsonschema.validate(content, SCHEMA)
    assert "no entry" in content["sentence"]
    assert 20 <= len(content["sentence"].split()) <= 33
    assert llm.stats()["calls_by_label"] == {"Laysan Albatross": 1}


@pytest.mark.parametrize(
    ("message", "label"),
    [
        (f"What does {ONE.name.upper()} look like?", ONE.name),
        (f"folder {ONE.name.replace(' ', '_')}", ONE.name),
        (f"{ONE.name}ish things", f"{ONE.name}ish things"),
        ("Domain: birds\nLabel: 'Painted Bunting'\nAnswer in JSON.", "Painted Bunting"),
        ("Describe “Laysan Albatross” in a sentence.", "Laysan Albatross"),
        ("Tell me about\nterns", "terns"),
        ("", ""),
    ],
)
def test_label_of(message: str, label: str) -> None:
    assert label_of(message) == label


def test_the_longest_name_wins() -> None:
    assert label_of(f"{TWO.name} is what I ask about.") == TWO.name


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"phrases": {"type": "array", "items": {"type": "string"}}}},
        {"type": "object", "properties": {"attributes": {"type": "array", "items": {"type": "string"}, "minItems": 9}},
         "required": ["attributes"]},
        {"type": "object", "properties": {"label": {"type": "string"}, "colour": {"enum": ["red", "blue", "other"]},
                                          "sure": {"type": "number", "minimum": 0, "maximum": 1},
                                          "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 10}]},
                                          "legs": {"type": ["string", "null"]}, "seen": {"type": "boolean"}},
         "required": ["label", "colour", "sure", "note", "legs", "seen"]},
        {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["sentence"], "properties": {
            "sentence": {"type": "string"}, "inner": {"$ref": "#/$defs/node"}}}}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("label", [ONE.name, "no such label"])
def test_any_schema_is_filled(schema: dict[str, Any], label: str) -> None:
    jsonschema.validate(fill(schema, entry_for(label)), schema)


def test_fields_are_filled_by_name() -> None:
    properties = {key: {"type": "string"} for key in ("label", "colour", "tail", "sentence")}
    found = fill({"type": "object", "properties": properties}, entry_for(ONE.name))
    assert found == {
        "label": ONE.name,
        "colour": ONE.attributes["colour"],
        "tail": ONE.attributes["tail"],
        "sentence": ONE.sentence,
    }


def test_a_prompt_with_the_word_json_gets_json() -> None:
    content = json.loads(response_text('Give JSON: {"phrases": [{"part": …}]}', entry_for(ONE.name), None))
    assert content["phrases"] == list(ONE.phrases)


def test_a_token_limit_truncates_the_response(llm: RunningServer) -> None:
    response = complete(llm, ONE.name, response_format=None, max_tokens=5)
    assert response.choices[0].finish_reason == "length"
    assert ONE.sentence.startswith(response.choices[0].message.content)


def test_models_stats_and_unknown_paths(llm: RunningServer) -> None:
    with httpx2.Client() as client:
        assert client.get(f"{llm.base_url}/models").json()["data"][0]["id"] == "fieldguide"
        assert client.get(f"{llm.base_url}/embeddings").status_code == 404
        assert client.get(f"{llm.base_url}/chat/completions").status_code == 405
        assert client.post(f"{llm.base_url}/chat/completions", content=b"{").status_code == 400
        assert client.get(llm.base_url.replace("/v1", "/stats")).json()["calls"] == 0


def test_a_wrong_key_is_refused() -> None:
    with serve(api_key="right") as llm, openai.OpenAI(base_url=llm.base_url, api_key="right", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            complete(llm, ONE.name)
        assert client.models.list().data[0].id == "fieldguide"
        assert llm.stats()["calls"] == 0


@pytest.mark.slow
def test_calls_in_flight_are_counted() -> None:
    with serve(latency_ms=200) as llm, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda label: complete(llm, label), [ONE.name, ONE.name, TWO.name, TWO.name]))
        stats = llm.stats()
    assert stats["calls"] == 4
    assert stats["calls_by_label"] == {ONE.name: 2, TWO.name: 2}
    assert 2 <= stats["max_in_flight"] <= 4
    assert stats["in_flight"] == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (404, openai.NotFoundError),
     (429, openai.RateLimitError), (500, openai.InternalServerError)],
)  # fmt: skip
def test_status_faults(llm: RunningServer, status: int, error: type[openai.APIStatusError]) -> None:
    llm.set_faults([{"fault": "status", "status": status, "retry_after": 2, "times": 1}])
    with pytest.raises(error) as raised:
        complete(llm, ONE.name)
    assert raised.value.response.headers["retry-after"] == "2"
    assert complete(llm, ONE.name).choices[0].finish_reason == "stop"


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "more"), [("reset", {}), ("hang", {}), ("cut_body", {}), ("not_json", {})])
def test_connection_faults(llm: RunningServer, fault: str, more: dict[str, Any]) -> None:
    llm.set_faults([{"fault": fault, **more}])
    with pytest.raises((openai.APIError, json.JSONDecodeError)):
        complete(llm, ONE.name, timeout_s=0.5)
    deadline = time.monotonic() + 5
    while llm.stats()["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert llm.stats()["in_flight"] == 0


@pytest.mark.slow
def test_response_faults(llm: RunningServer) -> None:
    def content_under(fault: str) -> tuple[Any, str]:
        llm.set_faults([{"fault": fault, "seconds": 0.05}])
        choice = complete(llm, ONE.name).choices[0]
        return choice.message.content, choice.finish_reason

    for fault in ("truncated", "rubbish", "prose"):
        text, finish = content_under(fault)
        assert finish == "stop"
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    assert ONE.sentence in content_under("prose")[0]
    assert content_under("length")[1] == "length"
    assert content_under("null_content")[0] is None
    assert json.loads(content_under("wrong_types")[0]) == {"sentence": 7, "phrases": "spots"}
    assert json.loads(content_under("other_label")[0])["sentence"] != ONE.sentence
    assert json.loads(content_under("slow")[0])["sentence"] == ONE.sentence
    llm.set_faults([{"fault": "empty_choices"}])
    assert complete(llm, ONE.name).choices == []
    llm.set_faults([{"fault": "refusal"}])
    assert "can't help" in complete(llm, ONE.name).choices[0].message.refusal


def test_rules_match_their_calls() -> None:
    faults = Faults(
        parse_rules(
            [
                {"fault": "hang", "label": "merrow", "attempts": [0]},
                {"fault": "reset", "calls": [3]},
                {"fault": "refusal", "times": 1, "label": "vree"},
            ]
        )
    )
    calls = [("Merrow", 0, 0), ("Merrow", 1, 1), ("Blue Vree", 2, 0), ("Merrow", 3, 2), ("Blue Vree", 4, 1)]
    applied = [faults.next(label=label, call=call, attempt=attempt) for label, call, attempt in calls]
    assert [rule and rule.fault for rule in applied] == ["hang", None, "refusal", "reset", None]
    share = Faults(parse_rules([{"fault": "hang", "share": 0.25}]))
    hit = [share.next(label=one.name, call=0, attempt=0) is not None for one in species()]
    assert 0.1 < sum(hit) / len(hit) < 0.4


@pytest.mark.parametrize(
    ("rule", "message"), [({"fault": "flood"}, "no fault 'flood'"), ({"fault": "hang", "when": 1}, "unknown keys")]
)
def test_an_invalid_rule_is_named(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rules([rule])


def test_the_command_on_a_free_port(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text(json.dumps([{"fault": "status", "status": 503, "calls": [0]}]))
    command = [sys.executable, "-m", "examples.fieldguide.llm_server", "--port", "0", "--faults", str(script)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": ONE.name}]}]}
        with httpx2.Client() as client:
            codes = [client.post(f"{url}/chat/completions", json=body).status_code for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert codes == [503, 200]
