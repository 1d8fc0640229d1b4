"""Jobs at several endpoints of one worker: each call goes to the right server with the right key, model and price."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from attributes.llm.transport import Transport
from store.db import Database
from store.models import LLMCall
from tests.attributes.fake_batch_api import FakeBatchAPI
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, content_for_request
from tests.job_specs import describe_spec
from tests.workers.enrich_bench import Bench, make_bench
from workers.dispatch import run_enrich
from workers.enrich import batch as batch_module
from workers.enrich import llm_settings
from workers.runtime.context import Context

FILE = """
[[endpoint]]
name = "one"
base_url = "{one}"
model = "m"
api_key_env = "KEY_ONE"
in_flight = 2
seed = 7
[endpoint.prices]
m = {{ input = "1", output = "1" }}

[[endpoint]]
name = "two"
base_url = "{one}"
model = "m"
api_key_env = "KEY_TWO"
[endpoint.extra_body.provider]
order = ["there"]
[endpoint.prices]
m = {{ input = "2", output = "2" }}

[[endpoint]]
name = "azure"
base_url = "{azure}"
api_version = "2024-10-21"
models = ["birds deployment"]
api_key_env = "KEY_AZURE"
headers_env = "HEADERS_AZURE"
batch = "0.5"
[endpoint.prices]
"birds deployment" = {{ input = "2", output = "8" }}
"""
NAMES = ["heron", "crane"]
CALL_PUSD = 140 * 1_000_000  # the scripted server reports 100 and 40 tokens


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


@pytest.fixture
def bench(sqlite_db: Database, llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose worker sends over a socket, with three endpoints."""
    send = Transport.send
    bench = make_bench(sqlite_db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    path = tmp_path / "endpoints.toml"
    path.write_text(FILE.format(one=llm.url, azure=llm.url.removesuffix("/v1")))
    for name in ("KEY_ONE", "KEY_TWO", "KEY_AZURE"):
        monkeypatch.setenv(name, f"secret-of-{name.lower()}")
    monkeypatch.setenv("HEADERS_AZURE", '{"X-Team": "ornithology"}')
    bench.context = context_with(bench, llm_endpoints=path)
    return bench


def context_with(bench: Bench, **changes: object) -> Context:
    context = bench.context
    return Context(context.settings.model_copy(update=changes), context.db, context.artefacts, context.shutting_down)


def costs(bench: Bench, job_id: str) -> list[int | None]:
    with bench.db.read() as tx:
        return [call.cost_pusd for call in tx.query(LLMCall).filter_by(job_id=job_id)]


@pytest.mark.slow
def test_two_endpoints_at_one_server_keep_their_keys_parameters_and_prices(bench: Bench, llm: FakeLLM) -> None:
    vocabulary_id = bench.vocabulary(NAMES)
    jobs = {name: bench.post(vocabulary_id, strategies=["sentence"], endpoint=name) for name in ("one", "two")}
    bench.work()
    assert {bench.job(job_id).status for job_id in jobs.values()} == {"succeeded"}
    by_key = {request.headers["authorization"]: request.body for request in llm.requests}
    assert by_key["Bearer secret-of-key_one"]["seed"] == 7
    assert by_key["Bearer secret-of-key_two"]["provider"] == {"order": ["there"]}
    assert costs(bench, jobs["one"]) == [CALL_PUSD] * 2
    assert costs(bench, jobs["two"]) == [2 * CALL_PUSD] * 2


AZURE = "/openai/deployments/birds%20deployment/chat/completions?api-version=2024-10-21"


@pytest.mark.quirk(
    "Azure OpenAI",
    "wants the deployment in the path, `api-version`, and the key in the header `api-key`",
    "an endpoint with `api_version` sends them; it has its own prices",
)
@pytest.mark.slow
def test_azure_as_an_endpoint(bench: Bench, llm: FakeLLM) -> None:
    job_id = bench.post(bench.vocabulary(NAMES), strategies=["sentence"], endpoint="azure", budget_usd="1")
    bench.work()
    assert bench.job(job_id).status == "succeeded"
    assert {request.path for request in llm.requests} == {AZURE}
    headers = llm.requests[0].headers
    assert (headers["api-key"], headers["x-team"]) == ("secret-of-key_azure", "ornithology")
    assert "authorization" not in headers
    assert costs(bench, job_id) == [100 * 2_000_000 + 40 * 8_000_000] * 2


class AzureBatchAPI(FakeBatchAPI):
    """The Batch API under the path of an Azure resource, with its key."""

    def respond(self, method: str, path: str, headers: object, body: bytes) -> FakeResponse:
        assert path.startswith("/openai/")
        assert "api-version=2024-10-21" in path
        assert headers["api-key"] == "secret-of-key_azure"  # type: ignore[index]
        return super().respond(method, path.removeprefix("/openai"), headers, body)  # type: ignore[arg-type]


@pytest.mark.quirk(
    "Azure OpenAI", "has its Batch API below `/openai`, without the deployment in the path", "`--batch` works there too"
)
@pytest.mark.slow
def test_batches_at_azure(bench: Bench, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "FIRST_POLL_S", 0.0)
    api = AzureBatchAPI(llm)
    llm.script = lambda request, index: FakeResponse(body=completion(content_for_request(request)))
    job_id = bench.post(bench.vocabulary(NAMES), strategies=["sentence"], endpoint="azure", mode="batch")
    give_up = time.monotonic() + 20
    while bench.job(job_id).finished_at is None:
        assert time.monotonic() < give_up
        if (part := bench.next_part()) is not None:
            run_enrich(bench.context, part.id)
    assert (bench.job(job_id).status, [len(batch.lines) for batch in api.batches]) == ("succeeded", [2])
    assert {line["body"]["model"] for line in api.batches[0].lines} == {"birds deployment"}
    assert costs(bench, job_id) == [(100 * 2_000_000 + 40 * 8_000_000) // 2] * 2


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ({"llm_endpoints": None}, "there is no endpoint 'one'"),
        ({"llm_endpoints": None}, "this worker's LIMBECK_LLM_ENDPOINTS is not set: give it the file of the API"),
        ({"llm_endpoints": Path("/nowhere.toml")}, "endpoints file /nowhere.toml cannot be read"),
        ({"llm_extra_body": "{"}, "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
    ],
)
def test_a_worker_without_the_endpoint_fails_the_job_with_the_remedy(
    worker: dict[str, object], message: str, bench: Bench, llm: FakeLLM
) -> None:
    job_id = bench.post(bench.vocabulary(NAMES), strategies=["sentence"], endpoint="one")
    bench.context = context_with(bench, **worker)
    bench.work()
    error = bench.job(job_id).error or {}
    assert (bench.job(job_id).status, error["code"]) == ("failed", "enrich_misconfigured")
    assert message in error["message"]
    assert llm.num_calls == 0


def test_a_worker_without_the_key_fails_the_job_before_a_call(
    bench: Bench, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_ONE")
    job_id = bench.post(bench.vocabulary(NAMES), strategies=["sentence"], endpoint="one")
    bench.work()
    error = bench.job(job_id).error or {}
    assert error["code"] == "enrich_misconfigured"
    assert "endpoint 'one': the environment variable KEY_ONE (api_key_env) is not set here" in error["message"]
    assert llm.num_calls == 0


def test_the_variables_reach_the_client(bench: Bench) -> None:
    changes = {"llm_top_p": 0.5, "llm_seed": 3, "llm_reasoning_effort": "low", "llm_extra_body": '{"a": null}'}
    limits = {"llm_outage_limit_s": 60.0, "llm_max_reasoning_tokens": 99, "llm_max_tokens": 50}
    llm = llm_settings.resolve(context_with(bench, **changes, **limits), describe_spec(model="m")).settings
    assert llm.extra_parameters() == {"top_p": 0.5, "seed": 3, "reasoning_effort": "low", "a": None}
    assert (llm.outage_limit_s, llm.max_reasoning_tokens, llm.max_tokens) == (60.0, 99, 50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llm_extra_body": "{"}, "worker: LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ({"llm_ca_file": Path("/nowhere.pem")}, "worker: LIMBECK_LLM_CA_FILE: there is no file /nowhere.pem"),
        ({"llm_endpoints": Path("/nowhere.toml")}, "worker: endpoints file /nowhere.toml cannot be read"),
    ],
)
def test_a_worker_that_cannot_call_the_llm_ends_at_its_start(
    changes: dict[str, object], message: str, bench: Bench
) -> None:
    with pytest.raises(SystemExit) as caught:
        llm_settings.exit_if_unusable(context_with(bench, **changes).settings, "worker")
    assert str(caught.value).startswith(message)


def test_a_worker_without_the_key_of_one_endpoint_serves_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_ONE")
    with capture_logs() as logs:
        llm_settings.exit_if_unusable(bench.context.settings, "worker")
    (warning,) = logs
    assert (warning["event"], warning["endpoint"]) == ("endpoint_unusable", "one")
    assert "KEY_ONE" in warning["fault"]
