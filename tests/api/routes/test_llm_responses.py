"""LLM responses: get by key."""

from store.enrich import results
from tests.api.conftest import Service


def test_get_by_key_without_credentials(service: Service) -> None:
    messages = [{"role": "user", "content": "Describe a crane."}]
    row = {
        "key": "ab12",
        "model": "m",
        "base_url": "https://user:secret@llm.example:8000/v1?token=secret",
        "strategy": "describe@1",
        "messages": messages,
        "answer": '{"sentence": "A tall bird."}',
        "lines": [],
        "other_lines": None,
        "flags": [],
    }
    with service.db.write() as tx:
        results.record_responses(tx, [row])
    body = service.get("/v1/answers/ab12")
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "object": "answer",
        "key": "ab12",
        "model": "m",
        "base_url": "https://llm.example:8000/v1",
        "strategy": "describe@1",
        "messages": messages,
        "answer": '{"sentence": "A tall bird."}',
    }
    response = service.http.get("/v1/answers/none")
    assert (response.status_code, response.json()["code"]) == (404, "answer_not_found")
