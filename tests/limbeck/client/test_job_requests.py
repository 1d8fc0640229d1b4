"""Bodies of job requests, and their options compared with the service's."""

from decimal import Decimal
from typing import Any

import pytest

from api.jobs.job_requests import DistillIn, EncodeIn, EvaluateIn, ProveIn
from api.jobs.plan_enrich import EnrichIn
from limbeck.client import job_requests
from limbeck.client.job_requests import job_body

PROMPT = {"prompt": {"concept", "templates"}}


@pytest.mark.parametrize(
    ("requests", "served", "written_as"),
    [
        ((job_requests.EnrichRequest, job_requests.CaptionRequest), EnrichIn, {}),
        ((job_requests.EncodeRequest,), EncodeIn, PROMPT),
        ((job_requests.DistillRequest,), DistillIn, PROMPT),
        ((job_requests.EvaluateRequest,), EvaluateIn, PROMPT),
        ((job_requests.ProveRequest,), ProveIn, {}),
    ],
    ids=["enrich", "encode", "distill", "evaluate", "prove"],
)
def test_the_options_of_a_job_are_the_fields_of_the_service(
    requests: tuple[Any, ...], served: Any, written_as: dict[str, set[str]]
) -> None:
    options = set().union(*(request.__annotations__ for request in requests))
    fields = {name: served.model_fields[name] for name in served.model_fields if name != "kind"}
    assert options == set().union(*(written_as.get(name, {name}) for name in fields))
    (required,) = {frozenset.intersection(*(request.__required_keys__ for request in requests))}
    assert required == {name for name, field in fields.items() if field.is_required()}


@pytest.mark.parametrize(
    ("kind", "options", "body"),
    [
        ("enrich", {"vocabulary_id": "voc_1"}, {"vocabulary_id": "voc_1", "strategies": ["describe"]}),
        ("enrich", {"dataset_id": "dst_1"}, {"dataset_id": "dst_1", "strategies": ["captions"]}),
        (
            "enrich",
            {"vocabulary_id": "v", "strategies": ("sentence",), "budget_usd": Decimal("1E+1"), "model": None},
            {"vocabulary_id": "v", "strategies": ["sentence"], "budget_usd": "10"},
        ),
        (
            "encode",
            {"vocabulary_id": "v", "teacher": "t", "concept": "bird", "templates": ("a {}",)},
            {"vocabulary_id": "v", "teacher": "t", "prompt": {"concept": "bird", "templates": ["a {}"]}},
        ),
        (
            "evaluate",
            {"dataset_id": "d", "teacher": "t", "concept": "", "templates": ()},
            {"dataset_id": "d", "teacher": "t"},
        ),
        (
            "prove",
            {"attribute_set_id": "a", "dataset_id": "d", "teacher": "t", "concept": "bird"},
            {"attribute_set_id": "a", "dataset_id": "d", "teacher": "t", "concept": "bird"},
        ),
    ],
)
def test_the_body_of_a_job(kind: Any, options: dict[str, Any], body: dict[str, Any]) -> None:
    assert job_body(kind, options) == {"kind": kind, **body}
