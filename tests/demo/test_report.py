"""The report's two files, from made-up results: numbers as they were measured, and text that stays text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from examples.demo.charts import Line, Pair, line_chart, pair_chart, smoothed, ticks
from examples.demo.report import Described, Results, Run, Sample, read_curve, write_html, write_json

EVIL = '<script>alert("x")</script> & $who'


def evaluation(text: str, seen: float, unseen: float) -> dict[str, Any]:
    def part(accuracy: float, names: list[str]) -> dict[str, Any]:
        return {
            "accuracy": accuracy,
            "chance": 1 / len(names),
            "num_labels": len(names),
            "num_images": 10 * len(names),
            "per_label": {name: accuracy for name in names},
        }

    return {"text": text, "id": part(seen, ["a", "b", "c"]), "ood": part(unseen, ["d", EVIL])}


def run(who: Literal["teacher", "student"], text: Literal["names", "enriched"], seen: float, unseen: float) -> Run:
    return Run(run=f"{who}, {text}", who=who, text=text, evaluation=evaluation(text, seen, unseen))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    picture = tmp_path / "0000.png"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(picture)
    return Results(
        runs=[
            run("teacher", "names", 0.3, 0.25),
            run("teacher", "enriched", 0.9, 0.95),
            run("student", "names", 0.8, 0.125),
            run("student", "enriched", 0.85, 0.625),
        ],
        checkpoint="ckp_1",
        seconds=187.26,
        curves={text: [(float(step), 100 / step) for step in range(1, 900)] for text in ("names", "enriched")},
        described=[Described(label=EVIL, sentence=f"A {EVIL} creature.", phrases=["a long tail", EVIL])],
        samples=[Sample(image=picture, label=EVIL, names=("d", 0.5), enriched=(EVIL, 0.75))],
        facts=[("vocabulary", EVIL)],
    )


def test_the_json_has_the_keys_and_figures_that_are_promised(results: Results, tmp_path: Path) -> None:
    write_json(results, tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"teacher", "students", "checkpoint", "seconds"}
    assert (report["checkpoint"], report["seconds"]) == ("ckp_1", 187.3)
    assert report["students"] == [
        {
            "run": "student, names",
            "text": "names",
            "id_accuracy": 0.8,
            "ood_accuracy": 0.125,
            "labels_id": 3,
            "labels_ood": 2,
        },
        {
            "run": "student, enriched",
            "text": "enriched",
            "id_accuracy": 0.85,
            "ood_accuracy": 0.625,
            "labels_id": 3,
            "labels_ood": 2,
        },
    ]
    assert [row["ood_accuracy"] for row in report["teacher"]] == [0.25, 0.95]


class _Page(HTMLParser):
    """Tags that are opened and not closed, addresses that the page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(results: Results, tmp_path: Path) -> str:
    write_html(results, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


def test_the_page_is_whole_and_escapes_whatever_came_from_a_label_or_an_llm(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert parsed.open == []
    assert parsed.scripts == 0
    assert f"A {EVIL} creature." in parsed.text
    assert page.count("&lt;script&gt;") >= 6


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert [address[:22] for address in parsed.fetched] == ["data:image/png;base64,"]
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_shows_the_figures(page: str) -> None:
    for figure in ("12.5%", "62.5%", "25.0%", "95.0%", "ckp_1", "187 s", "3 labels, 30 pictures"):
        assert figure in page, figure
    assert page.count('class="right"') == 1
    assert page.count('class="wrong"') == 1


def test_a_curve_is_read_from_a_training_log(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text('{"step": 1, "loss": 3.5, "lr": 0.1}\n{"event": "evaluated"}\n{"step": 2, "loss": 3}\n')
    assert read_curve(log) == [(1.0, 3.5), (2.0, 3.0)]


def test_smoothing_keeps_the_mean_of_what_it_covers_and_the_last_point() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    found = smoothed(points, over=10)
    assert len(found) <= 334
    assert found[-1][0] == 999
    assert all(abs(y - 0.5) < 1e-9 for x, y in found if x >= 10)
    assert smoothed(points[:3], over=10) == [(0.0, 0.0), (1.0, 0.5), (2.0, pytest.approx(1 / 3))]
    assert smoothed([], over=10) == []


@pytest.mark.parametrize("top", [0.0, 0.003, 0.09, 0.7, 1.0, 4.2, 9.99, 10.0, 137.0, 1e6])
def test_ticks_are_round_few_and_within(top: float) -> None:
    found = ticks(top)
    assert found[0] == 0.0
    assert len(found) <= 6
    assert found[-1] <= top * (1 + 1e-9)
    if top:
        assert len(found) >= 3


def test_a_chart_draws_points_where_they_belong() -> None:
    chart = line_chart([Line("a", "names", [(0.0, 0.0), (100.0, 10.0)])], x_label="step", y_label="loss")
    found = re.search(r'points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', chart)
    assert found is not None
    left, low, right, high = map(float, found.groups())
    assert left == 52.0
    assert right == 704.0
    assert low == 240.0
    assert high == 12.0


def test_labels_are_ordered_by_what_became_of_them() -> None:
    chart = pair_chart([Pair("worse", 0.5, 0.25), Pair("best", 0.0, 1.0)], chance=0.5, before="a", after="b")
    assert chart.index("best") < chart.index("worse")
    assert "best: 100%" in chart


def test_charts_without_data_say_so() -> None:
    assert "Nothing was logged" in line_chart([Line("a", "names", [])], x_label="x", y_label="y")
    assert "No label" in pair_chart([], chance=0.5, before="a", after="b")
