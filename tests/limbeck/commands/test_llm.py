"""`limbeck llm`: endpoints and learned profiles of a running service, and the probe against a scripted LLM server."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from attributes.llm.model_profile import ModelProfile
from limbeck.cli import main
from store.db import Database
from store.enrich import llm_profiles
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_request,
    error_response,
    respond_correctly,
)
from tests.limbeck.helpers import failed

Capture = pytest.CaptureFixture[str]
SECRET = "sk-very-secret-0123456789"
FILE = """
[[endpoint]]
name = "local"
base_url = "{url}"
model = "gemma"
api_key_env = "LOCAL_KEY"
in_flight = 4
[endpoint.prices]
gemma = {{ input = "1", output = "4" }}

[[endpoint]]
name = "azure"
base_url = "https://birds.openai.azure.com"
api_version = "2024-10-21"
models = ["one", "two"]
"""


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


@pytest.fixture
def operator(llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's environment with an endpoints file. Returns the path of the file."""
    path = tmp_path / "endpoints.toml"
    path.write_text(FILE.format(url=llm.url))
    for name in ("BASE_URL", "MODEL", "API_KEY", "EXTRA_BODY"):
        monkeypatch.delenv(f"LIMBECK_LLM_{name}", raising=False)
    monkeypatch.setenv("LIMBECK_LLM_ENDPOINTS", str(path))
    monkeypatch.setenv("LOCAL_KEY", SECRET)
    monkeypatch.setenv("COLUMNS", "200")
    return path


@pytest.fixture
def service(operator: Path, sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A running service; LIMBECK_URL is its URL. Returns its database."""
    monkeypatch.delenv("LIMBECK_KEY", raising=False)
    with served(create_app(settings_at(tmp_path / "home", llm_endpoints=operator), sqlite_db)) as url:
        monkeypatch.setenv("LIMBECK_URL", url)
        yield sqlite_db


def printed(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """The output of `limbeck llm …`, with single spaces."""
    assert main(["llm", *arguments]) == code
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_endpoints_and_learned_profiles_are_tables(service: Database, capsys: Capture) -> None:
    text = printed(capsys, "endpoints")
    assert "default https://api.openai.com/v1 stand-in unknown" in text
    assert "gemma known 4 in flight, 16 per process" in text
    assert "https://birds.openai.azure.com (Azure 2024-10-21) none: name one (also one, two)" in text
    assert printed(capsys, "learned") == "nothing was learned yet, or it has expired"
    profile = ModelProfile(
        level="json_object", limit_name="", omitted=("seed",), has_system_role=False, reasoning_tokens=2600
    )
    with service.write() as tx:
        for model in ("m", "n"):
            expires_at = time.time() + 60
            llm_profiles.save(tx, base_url="http://a/v1", model=model, profile=profile.as_json(), expires_at=expires_at)
    text = printed(capsys, "learned")
    assert (
        "m at http://a/v1 response format: JSON object token limit: none left out: seed, system role "
        "reasoning: up to 2,600 tokens learned 20"
    ) in text
    assert (
        printed(capsys, "forget", "--model", "m", "--base-url", "http://a/v1/")
        == "forgot what was learned about 1 model"
    )
    assert printed(capsys, "forget", "--endpoint", "local") == "nothing was learned about that"
    assert printed(capsys, "forget", "--all") == "forgot what was learned about 1 model"
    assert "nothing was learned yet" in printed(capsys, "learned")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --all, or at least one of --model, --endpoint and --base-url"),
        (["--all", "--model", "m"], "give --all, or at least one"),
        (["--endpoint", "a", "--base-url", "http://a/v1"], "--endpoint stands for its --base-url"),
    ],
)
def test_an_unclear_reset_is_invalid_input(arguments: list[str], message: str, capsys: Capture) -> None:
    code, line = failed(["llm", "forget", *arguments, "--url", "http://127.0.0.1:9"], capsys)
    assert code == 2
    assert message in line


@pytest.mark.slow
@pytest.mark.usefixtures("operator")
def test_a_probe_says_before_what_it_costs_and_then_what_works(llm: FakeLLM, capsys: Capture) -> None:
    llm.script = lambda request, index: (
        error_response(400, "response_format is not supported")
        if request.level == "json_schema"
        else respond_correctly(request, index)
    )
    assert main(["llm", "probe", "--endpoint", "local", "--label", "Heron"]) == 0
    output = capsys.readouterr()
    plan = " ".join(output.err.split())
    assert plan.startswith(f"gemma at {llm.url} (with a key): 4 calls, at most 10 if the server refuses parameters")
    assert "; about $0.00" in plan
    assert ", at most $0." in plan
    text = " ".join(output.out.split())
    assert (
        "JSON schema, enforced no no JSON object with a schema yes yes yes yes" in text
    )  # no response, so two columns are empty
    assert "JSON schema, enforced: bad request: HTTP 400: response_format is not supported" in text
    assert "schema in the prompt only yes yes yes yes" in text
    assert "system role: accepted; temperature: accepted; token limit (max_tokens): accepted" in text
    assert "4 calls for $0.00078" in text  # three of 100 and 40 tokens
    assert "recommended: timeout_s 60, max_tokens 700, max_reasoning_tokens 8192, concurrency 16 (as set)" in text
    assert "the server's list of models was not read: GET /models: HTTP 404" in text
    assert llm.requests[0].subject == {"label": "Heron", "domain": "birds"}
    assert llm.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in output.out + output.err


@pytest.mark.usefixtures("operator")
def test_the_tables_of_a_probe_can_be_read_in_80_columns(
    llm: FakeLLM, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    def script(request: FakeRequest, index: int) -> FakeResponse:
        body = completion(content_for_request(request, **({"label": "penguin"} if index else {})))
        body["usage"] = {"prompt_tokens": 12345, "completion_tokens": 23456, "total_tokens": 35801}
        body["usage"]["completion_tokens_details"] = {"reasoning_tokens": 20123}
        return FakeResponse(body=body)

    llm.script = script
    assert main(["llm", "probe", "--endpoint", "local"]) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "response format understood fits the schema about the label usable" in rows
    assert "JSON schema, enforced yes yes yes yes" in rows
    assert "JSON object with a schema yes yes no no" in rows
    assert "JSON object yes yes no no" in rows  # an answer about another label fits the schema
    assert any(row.startswith("JSON object with a schema 12,345 23,456 20,123 0.") for row in rows)
    assert "JSON object: wrong label: the response names 'penguin'" in rows


@pytest.mark.usefixtures("operator")
def test_a_probe_without_a_working_format_ends_with_1(llm: FakeLLM, capsys: Capture) -> None:
    llm.script = lambda request, index: error_response(401, f"Incorrect API key provided: {SECRET}")
    assert main(["llm", "probe", "--endpoint", "local", "--json"]) == 1
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (result["works"], result["num_calls"], result["plan"]["num_calls"]) == (False, 1, 4)
    assert "refuses the key" in result["fault"]
    assert SECRET not in output.out + output.err


@pytest.mark.usefixtures("operator")
def test_another_server_can_be_probed(llm: FakeLLM, capsys: Capture) -> None:
    arguments = ["llm", "probe", "--model", "m", "--base-url", llm.url, "--json"]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert "(without a key): 4 calls" in " ".join(output.err.split())
    assert "not known: set LIMBECK_PRICES" in " ".join(output.err.split())
    assert json.loads(output.out)["works"] is True


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "locl"], "there is no endpoint 'locl'; did you mean local?"),
        (["--endpoint", "azure", "--model", "tow"], "did you mean two"),
        (["--endpoint", "azure"], "name a model of the endpoint 'azure': one, two"),
        ([], "name a model, or an endpoint: local, azure"),
        (["--model", "m", "--base-url", "localhost"], "base_url must be an http:// or https:// address"),
        (["--endpoint", "local", "--label", " "], "--label"),
    ],
)
def test_invalid_input_ends_with_2(arguments: list[str], message: str, capsys: Capture) -> None:
    code, line = failed(["llm", "probe", *arguments], capsys)
    assert code == 2
    assert message in line


@pytest.mark.usefixtures("operator")
def test_an_invalid_variable_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, message in (
        ("EXTRA_BODY", "{", "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ("TOP_P", "2", "LIMBECK_LLM_TOP_P: Input should be less than or equal to 1"),
        ("ENDPOINTS", "/nowhere.toml", "endpoints file /nowhere.toml cannot be read"),
    ):
        with monkeypatch.context() as patched:
            patched.setenv(f"LIMBECK_LLM_{name}", value)
            code, line = failed(["llm", "probe", "--endpoint", "local"], capsys)
        assert code == 2
        assert message in line
