"""The embedded worker takes parts only of the queues whose dependencies are installed."""

import pytest

from workers import embedded


def test_a_queue_without_its_dependencies_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedded.installed_queues() == ["enrich", "gpu"]
    monkeypatch.setattr(embedded, "is_installed", lambda part: part != "gpu")
    assert embedded.installed_queues() == ["enrich"]
