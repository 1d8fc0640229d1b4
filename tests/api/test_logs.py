"""The request log."""

import json
from collections.abc import Callable

import pytest

from api import logs
from tests.api.conftest import Service, bearer, create_key


def _lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"request"' in line]


def test_the_log_contains_no_secrets(make_service: Callable[..., Service], capfd: pytest.CaptureFixture[str]) -> None:
    public = make_service(host="0.0.0.0", log_level="debug")
    secret = create_key(public, "read")
    wrong = "lbk_" + "W" * 43
    public.http.get("/v1/jobs?token=querysecret", headers=bearer(secret))
    public.http.get("/v1/jobs", headers=bearer(wrong))
    public.http.get("/v1/jobs/%0anewline", headers=bearer(secret))
    public.http.post("/v1/vocabularies", json={"name": "bodysecret"}, headers=bearer(secret))
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if '"request"' in line]
    assert len(lines) == 4
    for hidden in (secret, secret.removeprefix("lbk_"), wrong, "querysecret", "bodysecret", "Bearer"):
        assert hidden not in out + err


def test_successful_polls_are_only_in_the_debug_log(
    make_service: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    for log_level, shown in (("info", []), ("debug", ["debug"] * 5)):
        service = make_service(log_level=log_level)
        job_id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
        _lines(capfd)
        for path in ("/healthz", "/metrics", "/v1/jobs", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events"):
            service.http.get(path)
        assert [line["level"] for line in _lines(capfd)] == shown
        service.http.get("/v1/jobs/job_none")
        service.http.post(f"/v1/jobs/{job_id}/cancel")
        lines = _lines(capfd)
        assert [(line["level"], line["status"]) for line in lines] == [("info", 404), ("info", 202)]
        assert all(line["request_id"] and line["owner"] for line in lines)


@pytest.mark.parametrize(
    ("method", "route", "status", "first_byte_s", "has_exception", "level"),
    [
        ("GET", "/v1/jobs/{id}", 200, 0.1, False, "debug"),
        ("GET", "/v1/jobs/{id}", 200, logs.SLOW_S + 1, False, "warning"),
        ("GET", "/v1/jobs/{id}", 503, 0.1, True, "error"),
        ("GET", "/readyz", 503, 0.1, False, "info"),
        ("GET", "/v1/vocabularies", 200, 0.1, False, "info"),
        ("POST", "/v1/jobs", 202, 0.1, False, "info"),
    ],
)
def test_the_level_of_a_line(
    method: str, route: str, status: int, first_byte_s: float, has_exception: bool, level: str
) -> None:
    assert logs.level_of(method, route, status, first_byte_s=first_byte_s, has_exception=has_exception) == level
