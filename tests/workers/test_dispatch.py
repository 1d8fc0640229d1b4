"""The worker's side of GPU parts: a part that needs more GPUs than the worker has is left for another worker."""

import pytest

from store.jobs import claims, jobs, outbox
from store.jobs.jobs import NewPart
from store.models import Part
from tests.job_specs import distill_spec
from tests.workers.enrich_bench import Bench
from workers import dispatch
from workers.runtime import gpu_parent


def test_a_part_that_needs_more_gpus_is_left_for_another_worker(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, started = bench_on_sqlite.context, list[str]()
    monkeypatch.setattr(gpu_parent, "run_child", lambda _context, part_id: started.append(part_id))
    with context.db.write() as tx:
        jobs.create(tx, distill_spec(nproc=4), [NewPart(kind="train", queue="gpu", num_gpus=4)])
        (part_id,) = claims.ready(tx, ["gpu"])
        outbox.mark_sent(tx, [part_id])
    monkeypatch.setattr(dispatch, "count_gpus", lambda: 2)
    dispatch.run_for_message(context, "gpu", part_id)
    assert started == []
    with context.db.read() as tx:
        assert tx.get_one(Part, part_id).status == "queued"
        # Another message is sent in two seconds, and not only after `resend_s`.
        assert outbox.to_send(tx, resend_s=context.settings.resend_s) == []
        assert outbox.to_send(tx, resend_s=context.settings.resend_s - dispatch._UNFIT_RESEND_S) == [(part_id, "gpu")]
    for num_gpus in (0, 4):
        monkeypatch.setattr(dispatch, "count_gpus", lambda num_gpus=num_gpus: num_gpus)
        dispatch.run_for_message(context, "gpu", part_id)
        assert started.pop() == part_id
