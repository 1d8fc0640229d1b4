"""Charts and the formats of times, numbers and sizes."""

import math
from xml.etree import ElementTree

import pytest

from api.pages import charts, formats
from api.pages.charts import Curve


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


def test_a_line_chart_has_its_ends_and_a_legend() -> None:
    rising = Curve("loss <a>", [(step, float(step * step)) for step in range(2_000)])
    svg = str(
        charts.lines(
            [rising, Curve("empty", [(0, math.nan)]), Curve("flat", [(0, 1.0), (9, 1.0)])],
            title="Loss",
            x_label="step",
        )
    )
    root = ElementTree.fromstring(svg)
    line, _ = [element for element in root.iter() if element.tag.endswith("polyline")]
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == 250
    assert points[0][0] < points[-1][0] <= 520
    assert points[0][1] > points[-1][1]  # upwards is a smaller y
    assert "loss <a>" in _texts(svg)
    assert "empty" not in svg
    assert root.attrib["aria-label"] == "Loss"


def test_charts_without_points_and_with_one_point() -> None:
    assert charts.lines([Curve("a", [])], title="Loss") == ""
    svg = str(charts.lines([Curve("a", [(3, 0.5)])], title="Loss", percent=True))
    assert "<circle" in svg


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.0, 3.0), (-2e-7, 5e-6), (0, 123_456), (0.2, 0.21)])
def test_ticks_are_round_and_cover_the_range(low: float, high: float) -> None:
    found = charts.ticks(low, high, 4)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 8
    steps = {
        round((second - first) / (found[1] - found[0]), 6) for first, second in zip(found, found[1:], strict=False)
    }
    assert steps == {1.0}


def test_intervals_name_what_was_not_measured() -> None:
    svg = str(charts.intervals([("student", 0.5, (0.4, 0.6)), ("teacher", None, None)], title="Accuracy"))
    texts = _texts(svg)
    assert {"student", "50.0%", "teacher", "not measured"} <= set(texts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (8.2, "8 s"), (725, "12 min"), (11_100, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


def test_formats() -> None:
    assert [formats.number(value) for value in (12_345, 0.01234, 1.5, None)] == ["12,345", "0.0123", "1.5", "–"]
    assert [formats.size(value) for value in (999, 1_500, 2.5e9)] == ["999 B", "1.5 kB", "2.5 GB"]
    assert formats.time_tag(0.0) == (
        '<time datetime="1970-01-01T00:00:00.000Z" title="1970-01-01 00:00:00 UTC">1970-01-01 00:00 UTC</time>'
    )
    assert formats.prose("the `a<b>` of <i>") == "the <code>a&lt;b&gt;</code> of &lt;i&gt;"
    assert formats.isolated("<b>") == "<bdi>&lt;b&gt;</bdi>"


def test_histograms_and_matrices_say_what_each_square_is() -> None:
    drawn = charts.histogram([3, 0, 12], title="labels")
    assert "67% to 100%: 12" in drawn
    assert charts.histogram([0, 0], title="none").count("<rect") == 2
    squares = charts.matrix(["a<b"], ["c", "d"], {("a<b", "d"): 0.5}, title="confusions")
    assert "a&lt;b taken for d: 50%" in squares
    assert squares.count("<rect") == 2
    assert charts.matrix([], [], {}, title="none") == ""
