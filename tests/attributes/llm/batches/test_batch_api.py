"""The Batch API over HTTP: transient faults are retried, and no batch is created twice."""

import pytest

from attributes.llm.batches.batch_jobs import BatchUnavailable
from attributes.llm.results import FatalLLMError
from tests.attributes.fake_batch_api import FakeBatchAPI
from tests.attributes.fake_llm import FakeLLM, FakeResponse, error_response
from tests.attributes.llm.conftest import RunBatches


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (error_response(401), "llm_wrong_key"),
        (error_response(404), "llm_no_batches"),
        (error_response(400), "llm_batch_failed"),
    ],
)
def test_a_refused_upload_is_fatal_at_the_first_request(
    fault: FakeResponse, code: str, batch_api: FakeBatchAPI, run_batches: RunBatches
) -> None:
    batch_api.fault = lambda method, path, index: fault
    with pytest.raises(FatalLLMError) as caught:
        run_batches()
    assert (caught.value.code, len(batch_api.requests)) == (code, 1)


def test_a_server_without_a_batch_api_is_fatal(llm: FakeLLM, run_batches: RunBatches) -> None:
    with pytest.raises(FatalLLMError, match="has no Batch API"):
        run_batches()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [error_response(503), error_response(429, headers={"Retry-After": "0.01"}), FakeResponse(drop=True)]
)
def test_transient_faults_are_retried(fault: FakeResponse, batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    batch_api.fault = lambda method, path, index: fault if index in (0, 2, 5, 8) else None
    assert run_batches()[0].done == 10
    assert len(batch_api.batches) == 1
    batch_api.fault = lambda method, path, index: fault
    with pytest.raises(BatchUnavailable, match="after 3 attempts"):
        run_batches()


def test_a_batch_is_not_created_twice_when_the_response_is_lost(
    batch_api: FakeBatchAPI, run_batches: RunBatches
) -> None:
    batch_api.lost_response = lambda method, path, index: (
        FakeResponse(drop=True) if (method, path) == ("POST", "/batches") else None
    )
    assert run_batches()[0].done == 10
    assert len(batch_api.batches) == 1
