"""The mode of a job chooses live or batch enrichment."""

import pytest

from store.jobs import claims
from tests.workers.enrich_bench import NAMES, Bench
from workers.enrich.batch import BatchEnrichment
from workers.enrich.enrichment import create_enrichment
from workers.enrich.live import LiveEnrichment
from workers.runtime.lease_renewal import LeaseRenewal


@pytest.mark.parametrize(("mode", "expected"), [("live", LiveEnrichment), ("batch", BatchEnrichment)])
def test_the_mode_of_the_job_decides(
    bench_on_sqlite: Bench, mode: str, expected: type[LiveEnrichment | BatchEnrichment]
) -> None:
    bench = bench_on_sqlite
    bench.post(bench.vocabulary(NAMES[:2]), mode=mode)
    with bench.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=60)
    assert claim is not None
    lease = LeaseRenewal(bench.context, claim)
    assert isinstance(create_enrichment(bench.context, lease, total=2, unit="labels"), expected)
