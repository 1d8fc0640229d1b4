"""The request log."""

import pytest

from tests.api.conftest import Service, bearer, create_key


def test_the_log_contains_no_secrets(public: Service, capfd: pytest.CaptureFixture[str]) -> None:
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
