"""The measurement over both parts, with the phrase filter."""

import json
from pathlib import Path

import pytest

from distill.benefit.charts import markdown_table
from distill.benefit.run import measure_benefit
from distill.data.image_index import ImageIndex
from distill.pipeline import NoImages
from distill.teacher.teacher import Teacher
from tests.distill.examples import ATTRIBUTES


@pytest.mark.slow
def test_report_of_both_parts(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> None:
    report = measure_benefit(tiny_teacher, image_index, ATTRIBUTES, cache=tmp_path / "cache", filter_phrases=True)
    assert report.num_images == {"id": 4, "ood": 16}
    by_name = {arm.name: arm for arm in report.arms}
    waffle_ood = by_name["waffle"].ood
    assert waffle_ood is not None
    assert len(waffle_ood.draws) == 3
    assert waffle_ood.over_control is None
    chosen = by_name[report.chosen]
    assert chosen.id is not None
    assert chosen.id.accuracy == max(arm.id.accuracy for arm in report.arms if arm.role == "attributes" and arm.id)
    assert set(report.label_gains["ood"]["names"]) == {"blue jay", "heron"}
    assert report.filtered is not None
    assert report.filtered.refused or set(report.filtered.dropped) <= {1, 3}
    as_json = json.loads(json.dumps(report.as_json()))
    assert f"**{report.chosen}**" in markdown_table(as_json)
    assert report == measure_benefit(
        tiny_teacher, image_index, ATTRIBUTES, cache=tmp_path / "cache", filter_phrases=True
    )


def test_unusable_images_raise_no_images(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> None:
    for path in (tmp_path / "images").rglob("*.*"):
        path.write_bytes(b"no image")
    with pytest.raises(NoImages):
        measure_benefit(tiny_teacher, image_index, ATTRIBUTES, cache=tmp_path / "cache")
