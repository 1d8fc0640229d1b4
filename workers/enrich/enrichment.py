"""Chooses live or batch enrichment for a part, by the mode of its job."""

from store.jobs.specs import EnrichSpec
from workers.enrich.batch import BatchEnrichment
from workers.enrich.live import QUESTIONS_PER_WINDOW, LiveEnrichment
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal


def create_enrichment(
    context: Context,
    lease: LeaseRenewal,
    *,
    total: int,
    unit: str,
    per_unit: int = 1,
    window: int = QUESTIONS_PER_WINDOW,
) -> LiveEnrichment | BatchEnrichment:
    """The enrichment of a part. `window`: questions prepared at a time; batch enrichment does not use it."""
    if lease.claim.job(EnrichSpec).mode == "batch":
        return BatchEnrichment(context, lease, total=total, unit=unit, per_unit=per_unit)
    return LiveEnrichment(context, lease, total=total, unit=unit, per_unit=per_unit, window=window)
