"""Costs, and the usage totals of a job. On both databases."""

from store.enrich import usage
from store.enrich.usage import Cost, UsageTotals
from store.jobs.progress import Stage
from store.models import JobUsage
from tests.workers.enrich_bench import NAMES, Bench


def test_costs_are_compared_and_clamped_in_money_and_in_tokens() -> None:
    assert Cost(2, 5).covers(Cost(2, 5))
    assert not Cost(2, 5).covers(Cost(3, 0))
    assert not Cost(2, 5).covers(Cost(0, 6))
    assert (Cost(7, 1) - Cost(2, 3)).at_most(Cost(4, 4)) == Cost(4, 0)
    assert Cost(2, 3).times(3) == Cost(6, 9) == Cost(2, 3) + Cost(4, 6)


def test_every_enrich_job_has_totals_with_its_plan(bench: Bench) -> None:
    job_id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence", "phrases"])
    repaired = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence", "phrases"], mend_rounds=1)
    with bench.db.read() as tx:
        assert tx.get_one(JobUsage, job_id).plan == {"describe": [4, 2]}
        assert tx.get_one(JobUsage, repaired).plan == {"describe": [4, 2], "correct": [0, 1]}
        assert set(usage.totals_of_jobs(tx, [job_id, repaired, "job_other"])) == {job_id, repaired}


def test_a_reservation_must_fit_the_caps(bench: Bench) -> None:
    job_id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence"], budget_tokens=1_000)
    with bench.db.write() as tx:
        assert usage.reserve(tx, job_id, Cost(10**15, 600))
        assert not usage.reserve(tx, job_id, Cost(0, 401))
        assert usage.reserve(tx, job_id, Cost(0, 400))
        usage.release(tx, job_id, Cost(0, 1))
        assert not usage.reserve(tx, job_id, Cost(0, 2))
        assert usage.reserve(tx, job_id, Cost(0, 1))


def make_totals(**changes: object) -> UsageTotals:
    fields = {
        "job_id": "job",
        "cap_pusd": None,
        "cap_tokens": None,
        "plan": {},
        "calls": 2,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "spent_pusd": 0,
        "unpriced_calls": 0,
        "repeated_calls": 0,
        "repaired_responses": 0,
        "reserved_pusd": 0,
        "reserved_tokens": 0,
    }
    return UsageTotals(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_projected_cost_counts_questions_and_is_unknown_at_first() -> None:
    plan = {"describe": [4, 2], "correct": [10, 1]}
    stage = Stage(stage="describe", name="attributes", done=2, total=4, unit="labels", rate=None, eta_s=None)
    assert usage.projected_pusd(make_totals(plan=plan, spent_pusd=100), [stage]) == 100 * (4 * 2 + 10) // (2 * 2)
    assert usage.projected_pusd(make_totals(plan=plan, spent_pusd=100), []) is None
    assert usage.projected_pusd(make_totals(plan=plan, unpriced_calls=1), [stage]) is None


def test_the_spent_text_names_each_cap_and_reservations_with_unknown_usage() -> None:
    capped = make_totals(cap_pusd=2 * 10**12, cap_tokens=1_000, spent_pusd=15 * 10**11)
    assert usage.spent_text(capped) == (
        "$1.50 of $2.00 and 15 of 1,000 tokens spent in 2 calls, and another call could exceed the budget"
    )
    unknown = make_totals(cap_tokens=1_000, reserved_tokens=300)
    assert usage.spent_text(unknown).endswith("(300 tokens are reserved for calls with unknown usage)")
