"""Each method of the resources sends its request."""

from collections.abc import Callable, Iterator

import httpx2
import pytest

from limbeck import Client, Problem

REQUESTS: dict[str, Callable[[Client], object]] = {
    "GET /readyz": lambda client: client.ready(),
    "GET /v1/vocabularies?limit=100": lambda client: client.vocabularies.list(),
    "GET /v1/vocabularies/v": lambda client: client.vocabularies.get("v"),
    "GET /v1/vocabularies/v/labels?limit=1000": lambda client: client.vocabularies.labels("v"),
    "POST /v1/vocabularies?name=n&domain=d": lambda client: client.vocabularies.create_from_file("n", b"", domain="d"),
    "POST /v1/vocabularies?dry_run=true": lambda client: client.vocabularies.preview(b""),
    "GET /v1/attribute-sets?limit=100&parent_id=s": lambda client: client.attribute_sets.list(parent_id="s"),
    "GET /v1/attribute-sets/s": lambda client: client.attribute_sets.get("s"),
    "GET /v1/attribute-sets/s/labels?limit=1000&q=a&locked=true": lambda client: client.attribute_sets.labels(
        "s", q="a", locked=True
    ),
    "GET /v1/attribute-sets/s/compare?limit=100&with=t": lambda client: client.attribute_sets.compare("s", "t"),
    "GET /v1/attribute-sets/s/export?format=csv": lambda client: client.attribute_sets.export("s", format="csv"),
    "POST /v1/attribute-sets/s/report": lambda client: client.attribute_sets.check("s"),
    "GET /v1/attribute-sets/s/report?teacher=t": lambda client: client.attribute_sets.report("s", teacher="t"),
    "POST /v1/attribute-sets/import": lambda client: client.attribute_sets.import_file("{}"),
    "GET /v1/attribute-sets/s/draft": lambda client: client.drafts.get("s"),
    "GET /v1/attribute-sets/s/draft/labels?limit=1000": lambda client: client.drafts.labels("s"),
    "PATCH /v1/attribute-sets/s/draft": lambda client: client.drafts.change("s", [], version=1),
    "DELETE /v1/attribute-sets/s/draft": lambda client: client.drafts.discard("s"),
    "POST /v1/attribute-sets/s/draft/seal": lambda client: client.drafts.seal("s"),
    "POST /v1/datasets": lambda client: client.datasets.create("v", "images", split={"by": "all"}),
    "GET /v1/datasets?limit=100&vocabulary_id=v": lambda client: client.datasets.list(vocabulary_id="v"),
    "GET /v1/datasets/d": lambda client: client.datasets.get("d"),
    "GET /v1/datasets/d/report": lambda client: client.datasets.report("d"),
    "GET /v1/caption-sets?limit=100": lambda client: client.caption_sets.list(),
    "GET /v1/caption-sets/c": lambda client: client.caption_sets.get("c"),
    "GET /v1/caption-sets/c/file": lambda client: client.caption_sets.export("c"),
    "POST /v1/jobs/estimate": lambda client: client.jobs.estimate("enrich", vocabulary_id="v"),
    "GET /v1/jobs?limit=100&kind=distill": lambda client: client.jobs.list(kind="distill"),
    "GET /v1/jobs/j": lambda client: client.jobs.get("j"),
    "POST /v1/jobs/j/cancel": lambda client: client.jobs.cancel("j"),
    "GET /v1/jobs/j/events?limit=1000&after=3": lambda client: client.jobs.events("j", after=3),
    "GET /v1/jobs/j/events": lambda client: client.jobs.watch("j"),
    "GET /v1/jobs/j/calls?limit=1000": lambda client: client.jobs.calls("j"),
    "GET /v1/jobs/j/labels?limit=1000": lambda client: client.jobs.labels_so_far("j"),
    "GET /v1/jobs/j/export?format=json": lambda client: client.jobs.export("j"),
    "GET /v1/teachers?limit=100&ref=r": lambda client: client.teachers.list(ref="r"),
    "GET /v1/teachers/t": lambda client: client.teachers.get("t"),
    "POST /v1/token-counts": lambda client: client.teachers.count_tokens([]),
    "GET /v1/datasets/d/label-images?label=3&label=4": lambda client: client.datasets.label_images("d", [3, 4]),
    "GET /v1/text-targets?limit=100": lambda client: client.text_targets.list(),
    "GET /v1/text-targets/t": lambda client: client.text_targets.get("t"),
    "GET /v1/text-targets/t/labels.json": lambda client: client.text_targets.labels("t"),
    "GET /v1/text-targets/t/file": lambda client: client.text_targets.export("t"),
    "GET /v1/checkpoints?limit=100&job_id=j": lambda client: client.checkpoints.list(job_id="j"),
    "GET /v1/checkpoints/c": lambda client: client.checkpoints.download("c", "student"),
    "GET /v1/endpoints?limit=100": lambda client: client.llm.endpoints(),
    "GET /v1/endpoints/e": lambda client: client.llm.endpoint("e"),
    "GET /v1/llm-profiles?limit=100": lambda client: client.llm.profiles(),
    "DELETE /v1/llm-profiles?all=true": lambda client: client.llm.reset_profiles(all=True),
    "GET /v1/answers/a": lambda client: client.llm.answer("a"),
}


def _use(client: Client, request_line: str) -> None:
    result = REQUESTS[request_line](client)
    if isinstance(result, Iterator):
        next(result)


@pytest.mark.parametrize("request_line", REQUESTS)
def test_a_method_sends_its_request(request_line: str) -> None:
    seen: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx2.Response(418)

    with Client("http://127.0.0.1:1", transport=httpx2.MockTransport(respond)) as client, pytest.raises(Problem):
        _use(client, request_line)
    assert seen == [request_line]
