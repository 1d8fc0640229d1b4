"""Students side by side: figures, curves, settings that differ, and labels that got better and worse."""

import html
import re

import pytest

from store.jobs import events
from store.models import Checkpoint, Job
from tests.api.conftest import Service
from tests.api.pages.evaluated import add_student, evaluation, part
from tests.api.pages.test_student import _rows as rows_of

FIRST = evaluation(part({"crane": 0.5, "heron": 0.9, "ibis": 0.4}), part({"stork": 0.25}))
SECOND = evaluation(part({"crane": 0.8, "heron": 0.6, "ibis": 0.4}), part({"stork": 0.25, "finch": 1.0}))


def _add_second(service: Service) -> str:
    """A copy of the student `ckp_1` by another training, with another learning rate."""
    with service.db.write() as tx:
        first, job = tx.get_one(Checkpoint, "ckp_1"), tx.get_one(Job, "job_1")
        config = dict(job.spec["config"])  # type: ignore[call-overload]
        config["optimizer"] = {**config["optimizer"], "lr": 0.125}
        spec = {**job.spec, "config": config, "text": "names"}
        tx.add(Job(id="job_9", kind="distill", status="succeeded", spec=spec, tally=[], num_events=0, created_at=0.0))
        tx.flush()
        columns = {column.name: getattr(first, column.name) for column in Checkpoint.__table__.columns}
        tx.add(Checkpoint(**{**columns, "id": "ckp_9", "job_id": "job_9", "evaluation": SECOND}))
        for number in range(3):
            for id in ("job_1", "job_9"):
                data = {"step": number, "loss": 1.0 / (number + 1), "lr": 0.1}
                events.add(tx, id, "metrics", f"step {number}", data=data)
    return "ckp_9"


@pytest.mark.slow
def test_students_are_compared(service: Service) -> None:
    first = add_student(service, FIRST)
    second = _add_second(service)
    listed = service.http.get("/students").text
    assert re.findall(r'type="checkbox" form="compare" name="id" value="(\w+)"', listed) == [second, first]
    response = service.http.get("/compare", params={"id": [first, second]})
    assert response.status_code == 200
    rows = rows_of(response.text)
    assert ["text", "sentence", "names"] in rows
    assert [row for row in rows if row and row[0] == "optimizer.lr"][0][2] == "0.125"
    assert not [row for row in rows if row and row[0] in ("recipe", "teacher", "optimizer.name")]
    assert ["crane", "seen labels", "50.0%", "80.0%", "+30.0"] in rows
    assert ["heron", "seen labels", "90.0%", "60.0%", "-30.0"] in rows
    assert not [row for row in rows if row and row[0] in ("ibis", "stork", "finch")]
    assert "<figcaption>Loss</figcaption>" in response.text
    assert html.unescape(response.text).count("<polyline") >= 4
    same = service.http.get("/compare", params={"id": [first, first]})
    assert "Choose two to six students" in same.text
    assert service.http.get("/compare", params={"id": [first] * 7}).status_code == 422
    assert service.http.get("/compare", params={"id": [first, "ckp_none"]}).status_code == 404
