"""Reports of enrich jobs: a set with the same content and criteria is not judged again. On both databases."""

import pytest

from store.sets import reports
from tests.workers.enrich.test_repair import NAMES, use_llm
from tests.workers.enrich_bench import Bench
from workers.enrich import gates


@pytest.mark.slow
def test_a_set_with_the_same_content_is_not_judged_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_llm(monkeypatch)
    vocabulary = bench.vocabulary(NAMES)
    first = bench.run(vocabulary, strategies=["phrases"])
    judged: list[int] = []
    monkeypatch.setattr(gates, "evaluate_gates", lambda *_a, **_k: judged.append(1))
    second = bench.run(vocabulary, strategies=["phrases"])
    assert judged == []
    assert first.result is not None
    assert second.result is not None
    with bench.db.read() as tx:
        one, other = (reports.get(tx, job.result["attribute_set_id"]) for job in (first, second) if job.result)
        assert one is not None
        assert other is not None
        assert one.set_id != other.set_id
        assert one.figures == other.figures
        flagged = reports.flagged_positions(tx, one.set_id)
        assert flagged == reports.flagged_positions(tx, other.set_id)
    assert flagged["own"] == [0, 1, 2, 3]


@pytest.mark.slow
def test_the_language_of_the_job_decides_which_gates_are_judged(bench: Bench) -> None:
    """The stand-in writes English in any case, so the gates know the language from the job alone."""
    languages = (None, "Deutsch (Schweiz)")
    english, german = (bench.run(bench.vocabulary(NAMES), strategies=["phrases"], language=one) for one in languages)
    judged = []
    with bench.db.read() as tx:
        for job in (english, german):
            report = reports.get(tx, (job.result or {})["attribute_set_id"])
            assert report is not None
            judged.append({one["gate"]: one["holds"] for one in report.figures["gates"]})
    assert judged[0]["nonvisual"] is not None
    assert judged[1]["nonvisual"] is None
    assert judged[1]["length"] is not None
