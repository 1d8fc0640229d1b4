"""The two files of the demo report from invented results: correct figures and escaped texts."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from examples.demo.charts import Pair, Series, line_chart, pair_chart, smoothed, ticks
from examples.demo.report import DescribedLabel, MeasuredRun, Results, SampleImage, read_curve, write_html, write_json

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


def run(
    who: Literal["teacher", "student"], text: Literal["names", "enriched"], seen: float, unseen: float
) -> MeasuredRun:
    return MeasuredRun(run=f"{who}, {text}", who=who, text=text, evaluation=evaluation(text, seen, unseen))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    image = tmp_path / "0000.png"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(image)
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
        described=[DescribedLabel(label=EVIL, sentence=f"A {EVIL} creature.", phrases=["a long tail", EVIL])],
        samples=[SampleImage(image=image, label=EVIL, names=("d", 0.5), enriched=(EVIL, 0.75))],
        facts=[("vocabulary", EVIL)],
    )


def test_the_json_report(results: Results, tmp_path: Path) -> None:
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
    """Collects unclosed tags, fetched addresses, scripts and the text of a page."""

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


def test_the_page_is_well_formed_and_escapes_texts(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert parsed.open == []
    assert parsed.scripts == 0
    assert f"A {EVIL} creature." in parsed.text
    assert page.count("&lt;script&gt;") >= 6


def test_the_page_is_self_contained(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert [address[:22] for address in parsed.fetched] == ["data:image/png;base64,"]
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_shows_the_figures(page: str) -> None:
    for figure in ("12.5%", "62.5%", "25.0%", "95.0%", "ckp_1", "187 s", "3 labels, 30 images"):
        assert figure in page, figure
    assert page.count('class="right"') == 1
    assert page.count('class="wrong"') == 1


def test_read_curve(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text('{"step": 1, "loss": 3.5, "lr": 0.1}\n{"event": "evaluated"}\n{"step": 2, "loss": 3}\n')
    assert read_curve(log) == [(1.0, 3.5), (2.0, 3.0)]


def test_smoothing_keeps_the_mean_and_the_last_point() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    found = smoothed(points, window=10)
    assert len(found) <= 334
    assert found[-1][0] == 999
    assert all(abs(y - 0.5) < 1e-9 for x, y in found if x >= 10)
    assert smoothed(points[:3], window=10) == [(0.0, 0.0), (1.0, 0.5), (2.0, pytest.approx(1 / 3))]
    assert smoothed([], window=10) == []


@pytest.mark.parametrize("top", [0.0, 0.003, 0.09, 0.7, 1.0, 4.2, 9.99, 10.0, 137.0, 1e6])
def test_ticks_are_few_and_at_most_the_maximum(top: float) -> None:
    found = ticks(top)
    assert found[0] == 0.0
    assert len(found) <= 6
    assert found[-1] <= top * (1 + 1e-9)
    if top:
        assert len(found) >= 3


def test_a_line_chart_places_points_by_their_values() -> None:
    chart = line_chart([Series("a", "names", [(0.0, 0.0), (100.0, 10.0)])], x_label="step", y_label="loss")
    found = re.search(r'points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', chart)
    assert found is not None
    left, low, right, high = map(float, found.groups())
    assert left == 52.0
    assert right == 704.0
    assert low == 240.0
    assert high == 12.0


def test_labels_are_ordered_by_their_accuracy() -> None:
    chart = pair_chart([Pair("worse", 0.5, 0.25), Pair("best", 0.0, 1.0)], chance=0.5, before="a", after="b")
    assert chart.index("best") < chart.index("worse")
    assert "best: 100%" in chart


def test_charts_without_data_are_a_sentence() -> None:
    assert "Nothing was logged" in line_chart([Series("a", "names", [])], x_label="x", y_label="y")
    assert "No label" in pair_chart([], chance=0.5, before="a", after="b")
