"""Webhooks over the API."""

from collections.abc import Callable

from tests.api.conftest import Service, bearer, create_key


def test_a_webhook_is_created_tested_and_deleted(make_service: Callable[..., Service]) -> None:
    service = make_service(webhook_hosts="ci.example.org")
    made = service.post("/v1/webhooks", {"url": "https://ci.example.org/x", "events": ["job.failed"]})
    assert made["secret"].startswith("whsec_")
    assert "secret" not in service.get(f"/v1/webhooks/{made['id']}")
    assert [one["id"] for one in service.get("/v1/webhooks", owner="me")["data"]] == [made["id"]]
    sent = service.post(f"/v1/webhooks/{made['id']}/ping", None, status=202)
    (delivery,) = service.get(f"/v1/webhooks/{made['id']}")["deliveries"]
    assert (delivery["id"], delivery["attempts"], delivery["event"]) == (sent["id"], 0, "ping")
    assert service.http.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    assert service.http.get(f"/v1/webhooks/{made['id']}").status_code == 404


def test_refusals(service: Service) -> None:
    problem = service.rejection("/v1/webhooks", {"url": "https://ci.example.org/x"})
    assert problem["code"] == "webhook_host_not_allowed"
    assert problem["errors"][0]["pointer"] == "/url"
    for body in ({"url": "https://a", "events": []}, {"url": "https://a", "events": ["ping"]}, {"url": 1}, {}):
        service.rejection("/v1/webhooks", body)


def test_another_owner_changes_nothing(make_service: Callable[..., Service]) -> None:
    service = make_service(host="0.0.0.0", webhook_hosts="ci.example.org")
    mine = bearer(create_key(service, "read", "write"))
    with service.db.write() as tx:
        from store.access import api_keys

        theirs = bearer(api_keys.create(tx, name="other", scopes=["read", "write"], expires_at=None)[1])
    body = {"url": "https://ci.example.org/x"}
    made = service.http.post("/v1/webhooks", json=body, headers=mine).json()
    for method, path in (("DELETE", ""), ("POST", "/ping")):
        response = service.http.request(method, f"/v1/webhooks/{made['id']}{path}", headers=theirs)
        assert (response.status_code, response.json()["code"]) == (403, "not_owner")
