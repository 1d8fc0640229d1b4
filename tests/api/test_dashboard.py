"""Dashboard, alert rules and the page about monitoring name the metrics and labels that `/metrics` serves."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.core import Metric

from api.metrics.registry import Metrics
from store.db import Database

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/limbeck.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/how-to/monitoring.md").read_text(encoding="utf-8")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def _panels() -> list[dict[str, object]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def _expressions() -> Iterator[tuple[str, str]]:
    """(expression, legend or annotation) of the dashboard and of the alert rules."""
    for panel in _panels():
        for target in panel["targets"]:  # type: ignore[attr-defined]
            yield target["expr"], target["legendFormat"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], " ".join(rule["annotations"].values())


def _label_names(family: Metric) -> tuple[str, ...]:
    return tuple(getattr(family, "_labelnames", ()))


@pytest.fixture
def served(sqlite_db: Database) -> dict[str, set[str]]:
    """Name of each series that `/metrics` can serve -> its labels."""
    metrics = Metrics(sqlite_db)
    metrics.observe("GET", "/healthz", 200, 0.1)
    found = {}
    for family in metrics.families():
        labels = {label for sample in family.samples for label in sample.labels} | set(_label_names(family))
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def test_every_expression_names_served_metrics_and_their_labels(served: dict[str, set[str]]) -> None:
    checked = 0
    for expression, text in _expressions():
        names = set(re.findall(r"\blimbeck_\w+", expression))
        assert names, expression
        assert names <= set(served), expression
        labels = set.union(*(served[name] for name in names))
        used = re.findall(r"\bby \(([^)]*)\)|\bon \(([^)]*)\)", expression)
        grouped = {label.strip() for groups in used for group in groups for label in group.split(",") if label}
        matched = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", expression))
        shown = set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text))
        assert grouped | matched | shown <= labels, expression
        assert shown <= grouped, f"{expression} has no label for {text}"
        assert expression.count("(") == expression.count(")")
        checked += len(names)
    assert checked > 30


def test_every_panel_has_a_unit_and_the_data_source_that_is_chosen() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in _panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]  # type: ignore[index]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]  # type: ignore[attr-defined]
        assert {source["uid"] for source in sources} == {f"${{{variable['name']}}}"}  # type: ignore[index]


def test_the_page_lists_every_metric_with_its_labels(served: dict[str, set[str]]) -> None:
    listed = {}
    for names, labels in re.findall(r"^\| ((?:`limbeck_\w+`(?:, )?)+) \|([^|]*)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            listed[name] = set(re.findall(r"`(\w+)`", labels))
    assert set(listed) == {re.sub(r"_(bucket|sum|count)$", "", name) for name in served}
    for name, labels in listed.items():
        assert labels >= served.get(name, served.get(f"{name}_sum", set())) - {"le"}, name
