"""Stored outcomes of repair rounds. On both databases."""

from store.enrich import repair_rounds, results
from store.enrich.results import ResultSlot
from store.jobs import claims
from store.jobs.specs import DescribeSpec
from tests.workers.enrich_bench import NAMES, Bench


def test_an_existing_outcome_stays(bench: Bench) -> None:
    with bench.db.write() as tx:
        assert repair_rounds.outcome(tx, "digest") is None
        repair_rounds.put(tx, inputs="digest", outcome={"num_labels": 1}, file_key="a")
        repair_rounds.put(tx, inputs="digest", outcome={"num_labels": 2}, file_key=None)
        stored = repair_rounds.outcome(tx, "digest")
    assert stored is not None
    assert (stored.outcome, stored.file_key) == ({"num_labels": 1}, "a")


def test_results_and_criteria_change_the_digest(bench: Bench) -> None:
    id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence"])
    with bench.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=60)
        assert claim is not None
        spec = claim.job(DescribeSpec)
        before = repair_rounds.inputs_of(tx, id, spec, {"round": 1})
        assert repair_rounds.inputs_of(tx, id, spec, {"round": 1}) == before
        assert repair_rounds.inputs_of(tx, id, spec, {"round": 2}) != before
        results.record_failures(tx, claim, [(ResultSlot(0, 2), "refused", "")])
        assert repair_rounds.inputs_of(tx, id, spec, {"round": 1}) != before
