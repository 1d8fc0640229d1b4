"""The checks of the database, the queue, the workers, the LLM servers and the clocks. On both databases."""

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from limbeck.doctor import operator
from limbeck.doctor.diagnosis import Diagnosis
from limbeck.doctor.operator import check_database, check_llm, check_queue
from store.db import Database
from store.jobs import heartbeats
from store.settings import Settings
from tests.limbeck.scripted import Say, scripted
from tests.store.job_helpers import create_job

SECRET = "hunter2"
NO_REDIS = f"redis://:{SECRET}@127.0.0.1:1/0"


def found(diagnoses: Iterable[Diagnosis]) -> dict[str, Diagnosis]:
    by_name = {one.name: one for one in diagnoses}
    assert not any(SECRET in one.detail + one.remedy for one in by_name.values())
    assert all(bool(one.remedy) == (one.status != "ok") for one in by_name.values())
    return by_name


def settings(home: Path, db: Database | None = None, **changes: Any) -> Settings:
    url = db.url.render_as_string(hide_password=False) if db else ""
    return Settings(**{"home": home, "database_url": url, "redis_url": "", **changes})


def test_a_service_that_runs(db: Database, tmp_path: Path) -> None:
    with db.write() as tx:
        for role in ("sweeper", "enrich", "gpu"):
            heartbeats.record(tx, name=f"host:{role}", role=role)
    create_job(db)
    ran = found(check_database(settings(tmp_path, db)))
    assert {name: one.status for name, one in ran.items()} == dict.fromkeys(
        ("database", "migrations", "sweeper", "enrich workers", "gpu workers", "clock"), "ok"
    )
    assert ran["gpu workers"].detail == "1 alive; 1 part queued"


def test_no_worker_is_a_fault_of_a_distributed_service_only(db: Database, tmp_path: Path) -> None:
    create_job(db)
    embedded = found(check_database(settings(tmp_path, db)))["workers"]
    assert (embedded.status, embedded.remedy) == ("warning", "start it: limbeck serve")
    assert embedded.detail == "no worker or sweeper is running; 1 part queued"
    assert found(check_database(settings(tmp_path, db, redis_url=NO_REDIS)))["workers"].status == "failed"
    with db.write() as tx:
        heartbeats.record(tx, name="host:enrich", role="enrich")
    ran = found(check_database(settings(tmp_path, db, redis_url=NO_REDIS)))
    assert (ran["enrich workers"].status, ran["gpu workers"].status) == ("ok", "failed")
    assert "worker -Q gpu" in ran["gpu workers"].remedy


def test_a_database_at_another_revision(db: Database, tmp_path: Path) -> None:
    with db.write() as tx:
        (newest,) = tx.execute(text("select version_num from alembic_version")).one()
        tx.execute(text("update alembic_version set version_num = '0007'"))
    try:
        ran = found(check_database(settings(tmp_path, db)))
    finally:
        with db.write() as tx:
            tx.execute(text("update alembic_version set version_num = :newest"), {"newest": newest})
    assert list(ran) == ["database", "migrations"]
    assert (ran["migrations"].status, ran["migrations"].remedy) == ("failed", "run limbeck db upgrade")


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    (missing,) = found(check_database(settings(tmp_path))).values()
    assert missing.status == "warning"
    assert list(tmp_path.iterdir()) == []  # nothing was created
    (down,) = found(check_database(settings(tmp_path, database_url=f"postgresql://u:{SECRET}@127.0.0.1:1/d"))).values()
    assert down.status == "failed"
    (wrong,) = found(check_database(settings(tmp_path, database_url=f"mysql://u:{SECRET}@h/d"))).values()
    assert (wrong.status, wrong.remedy) == ("failed", "correct LIMBECK_DATABASE_URL")


@pytest.mark.parametrize(("offset_s", "status"), [(0.0, "ok"), (5.0, "warning"), (-60.0, "failed")])
def test_the_clock_of_the_database_server(
    offset_s: float, status: str, postgres_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = operator.time.time
    monkeypatch.setattr("limbeck.doctor.operator.time.time", lambda: now() + offset_s)
    with postgres_db.read() as tx:
        assert operator._clock(postgres_db, tx).status == status


def test_the_queue(tmp_path: Path) -> None:
    assert found(check_queue(settings(tmp_path)))["queue"].status == "ok"
    down = found(check_queue(settings(tmp_path, redis_url=NO_REDIS)))["queue"]
    assert (down.status, down.detail) == ("failed", "redis://127.0.0.1:1/0 does not respond: ConnectionError")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        port = silent.getsockname()[1]
        nonsense = found(check_queue(settings(tmp_path, redis_url=f"http://:{SECRET}@127.0.0.1:{port}")))["queue"]
    assert nonsense.status == "failed"


def llm(tmp_path: Path, *responses: Say, **changes: Any) -> Diagnosis:
    with scripted(responses) as server:
        config = settings(tmp_path, llm_model="bird-1", llm_base_url=f"{server.url}/v1", llm_api_key=SECRET, **changes)
        (one,) = found(check_llm(config)).values()
    return one


def test_an_llm_server(tmp_path: Path) -> None:
    models = {"data": [{"id": "bird-1"}, {"id": "bird-2"}]}
    assert llm(tmp_path, Say(200, models)).status == "ok"
    unlisted = llm(tmp_path, Say(200, {"data": [{"id": "bird-1-instruct"}]}))
    assert (unlisted.status, "similar: bird-1-instruct" in unlisted.detail) == ("failed", True)
    assert "refuses the key" in llm(tmp_path, Say(401, {"error": {"message": SECRET}})).detail
    assert llm(tmp_path, Say(404, {})).status == "warning"
    with scripted([]) as server:
        pass
    config = settings(tmp_path, llm_model="bird-1", llm_base_url=f"{server.url}/v1", llm_api_key=SECRET)
    (down,) = found(check_llm(config)).values()
    assert (down.status, "does not respond" in down.detail) == ("failed", True)


def test_llm_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(check_llm(settings(tmp_path)))["llm"].status == "warning"
    assert found(check_llm(settings(tmp_path, llm_model="m", llm_extra_body="[]")))["llm"].status == "failed"
    file = tmp_path / "endpoints.toml"
    file.write_text('[[endpoint]]\nname = "azure"\nmodel = "m"\napi_key_env = "LIMBECK_TEST_NO_KEY"\n')
    monkeypatch.delenv("LIMBECK_TEST_NO_KEY", raising=False)
    (azure,) = found(check_llm(settings(tmp_path, llm_endpoints=file))).values()
    assert (azure.name, azure.status) == ("llm azure", "failed")
    assert "LIMBECK_TEST_NO_KEY" in azure.detail
