"""Results of enrich jobs while they run. On both databases."""

from store.enrich import assembly, results
from tests.workers.enrich_bench import NAMES, Bench


def test_partial_results_have_the_finished_positions(bench: Bench) -> None:
    id = bench.post(bench.vocabulary(NAMES[:32]), strategies=["sentence"])
    bench.run_next_part()
    with bench.db.read() as tx:
        assert results.positions_with_results(tx, id, after=-1, limit=100) == list(range(16))
        assert results.positions_with_results(tx, id, after=9, limit=3) == [10, 11, 12]
        assert assembly.recorded_pages(tx, id) == {}
