"""Migrations on both databases: the newest revision matches the models, and every revision can be downgraded."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from distill.config.train_config import TrainConfig
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, jobs, progress
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from store.migrate import _config, is_current, upgrade
from store.models import AttributePage, Base, Checkpoint, Job
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from tests.api.published import publish
from tests.job_specs import describe_spec, distill_spec


def test_the_newest_revision_matches_the_models(db: Database) -> None:
    with db.reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_is_current_detects_an_old_database(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    assert not is_current(db)
    upgrade(db)
    assert is_current(db)
    db.dispose()


def test_downgrade_to_base_and_upgrade(sqlite_db: Database) -> None:
    command.downgrade(_config(sqlite_db), "base")
    assert inspect(sqlite_db.reader).get_table_names() == ["alembic_version"]
    upgrade(sqlite_db)
    assert is_current(sqlite_db)


def test_the_tally_of_a_stored_job_is_computed(db: Database) -> None:
    parts = [NewPart(kind="describe", queue="enrich", total=n, unit="labels") for n in range(1, 5)]
    with db.write() as tx:
        job_id = jobs.create(tx, describe_spec(), [*parts, NewPart(kind="encode", queue="gpu", stage=1)]).id
        for part_id in claims.ready(tx, ["enrich"], limit=2):
            claim = claims.claim(tx, part_id, worker="w", lease_s=30)
            assert claim is not None
        transitions.finish(tx, claim, PartResult())
    with db.read() as tx:
        job, before = progress.of_job(tx, job_id)
    assert before is not None
    assert (before.done, before.total) == (2, 10)
    command.downgrade(_config(db), "0003")
    upgrade(db)
    with db.read() as tx:
        again, after = progress.of_job(tx, job_id)
    assert (again.tally, after) == (job.tally, before)
    assert again.spec == job.spec


def test_the_config_of_a_stored_job_is_converted_to_sections_and_back(db: Database) -> None:
    # What is set by recipes only since then (decision 37) has its earlier value.
    earlier = {"affinity_scale": "temperature", "queue_size": 4096}
    spec = distill_spec(config={"epochs": 3, "losses": {"mse": 0}, **earlier})
    with db.write() as tx:
        job_id = jobs.create(tx, spec, [NewPart(kind="train", queue="gpu")]).id
    command.downgrade(_config(db), "0010")
    with db.read() as tx:
        flat: Any = tx.scalars(select(Job.spec).where(Job.id == job_id)).one()["config"]
    later = {"weights", "model_args", "in_chans"}
    assert {name: value for name, value in spec.config.flat().items() if name in flat} == flat
    assert later <= spec.config.flat().keys() - flat.keys(), "fields of later releases are dropped"
    upgrade(db)
    with db.read() as tx:
        again = tx.get_one(Job, job_id).spec
    assert TrainConfig.model_validate(again["config"]) == spec.config
    assert {**again, "config": None} == {**spec.as_json(), "config": None}


def test_the_marks_and_texts_of_stored_pages_are_computed(sqlite_db: Database) -> None:
    line = {"kind": "phrase", "text": "a red crown", "origin": "llm"}
    entries: list[EntryContent | None] = [
        {"label": "a", "sense": None, "lines": [line, {**line, "text": "b", "origin": "human"}], "flags": ["empty"]},
        None,
        {"label": "c", "sense": None, "lines": [{**line, "locked": True}], "flags": []},
    ]
    with sqlite_db.write() as tx:
        attribute_sets.put_pages(tx, entries)
        before, texts = tx.execute(select(AttributePage.marks, AttributePage.folded)).one()
    assert texts == "a red crown\nb\x1e\x1ea red crown"
    assert before == {
        "flag:empty": [0],
        "origin:human": [0],
        "origin:llm": [0, 2],
        "undescribed": [1],
        "locked": [2],
    }
    command.downgrade(_config(sqlite_db), "0004")
    upgrade(sqlite_db)
    with sqlite_db.read() as tx:
        assert tx.execute(select(AttributePage.marks, AttributePage.folded)).one() == (before, texts)


def test_the_headline_of_a_stored_evaluation_is_computed(db: Database, tmp_path: Path) -> None:
    publish(db, Artefacts(f"file://{tmp_path}"))
    seen = {"accuracy": 0.5, "intervals": {"images": [0.4, 0.6]}, "per_label": {"crane": 0.5}, "confusions": []}
    with db.write() as tx:
        tx.get_one(Checkpoint, "ckp_1").evaluation = {"text": "names", "id": seen, "ood": None}
    headline = {"id": {"accuracy": 0.5, "intervals": {"images": [0.4, 0.6]}}}
    with db.read() as tx:
        assert tx.get_one(Checkpoint, "ckp_1").headline == headline
    command.downgrade(_config(db), "0033")
    upgrade(db)
    with db.read() as tx:
        assert tx.get_one(Checkpoint, "ckp_1").headline == headline
