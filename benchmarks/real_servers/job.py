"""A job of the service with a real server: the ledger is the server's bill, which the estimate's maximum bounds.

The service runs as in production, with API and worker in their own processes, on SQLite.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from attributes.prompts.strategy import STRATEGY_FOLDER
from benchmarks.attributes import ServiceUnderTest, StandInProcess, service
from benchmarks.real_servers.meter import Exchange, Meter
from benchmarks.real_servers.servers import Server
from limbeck.models import Estimate
from store.models import LLMCall

LABEL, NUM_SAMPLES = "robin", 40
JOB_TIMEOUT_S = 180.0


def job_faults(server: Server, report: Callable[[str], None]) -> list[str]:
    """Run the job; returns the faults."""
    with tempfile.TemporaryDirectory() as name, Meter(server.root) as meter:
        folder = Path(name)
        (folder / "fixed.toml").write_text(_strategy())
        settings = {
            "LIMBECK_STRATEGIES_DIR": str(folder),
            "LIMBECK_LLM_MODEL": server.model,
            "LIMBECK_LLM_API_KEY": server.api_key,
            "LIMBECK_LLM_CONCURRENCY": "4",
        }
        with service("sqlite", StandInProcess(meter.root, 0), **settings) as run:
            run.start("worker", "-m", "workers.embedded")
            vocabulary_id = run.client.vocabularies.create("real", [LABEL], domain="birds").id
            estimate = run.client.jobs.estimate("enrich", vocabulary_id=vocabulary_id, strategies=["fixed@1"])
            job = run.client.jobs.wait(
                run.client.jobs.create("enrich", vocabulary_id=vocabulary_id, strategies=["fixed@1"]),
                timeout_s=JOB_TIMEOUT_S,
            )
            ledger = _ledger(run, job.id)
    report(
        f"job of the service: {job.status}, {ledger[0]} calls in {job.seconds or 0:.1f} s, {sum(ledger[1:]):,} tokens"
    )
    if job.status != "succeeded":
        return [f"the job ended as {job.status}: {job.error}"]
    return ledger_faults(ledger, meter.exchanges, estimate)


def ledger_faults(ledger: tuple[int, int, int], exchanges: list[Exchange], estimate: Estimate) -> list[str]:
    """Differences between a job's ledger (calls, tokens of prompts, tokens of responses), the bill and the estimate."""
    bill = (len(exchanges), sum(e.prompt_tokens for e in exchanges), sum(e.completion_tokens for e in exchanges))
    faults = []
    if ledger != bill:
        faults.append(f"the ledger has {ledger} (calls, prompt tokens, completion tokens), the server sent {bill}")
    largest = estimate.prompt_tokens.at_most, estimate.completion_tokens.at_most
    if any(tokens > limit for tokens, limit in zip(bill[1:], largest, strict=True)):
        faults.append(f"the bill {bill[1:]} is above the estimate's maximum {largest}")
    return faults


def _strategy() -> str:
    """The strategy `sentence`, which a random model can answer: the schema allows only the right label."""
    text = (STRATEGY_FOLDER / "sentence.toml").read_text(encoding="utf-8")
    text = text.replace('name = "sentence"', f'name = "fixed"\nsamples = {NUM_SAMPLES}\ntemperature = 1.0')
    return text.replace(
        '[schema.properties.label]\ntype = "string"', f'[schema.properties.label]\ntype = "string"\nenum = ["{LABEL}"]'
    )


def _ledger(run: ServiceUnderTest, job_id: str) -> tuple[int, int, int]:
    columns = func.count(), func.sum(LLMCall.prompt_tokens), func.sum(LLMCall.completion_tokens)
    with run.db.read() as tx:
        calls, prompt, completion = tx.execute(select(*columns).where(LLMCall.job_id == job_id)).one()
    return calls, prompt or 0, completion or 0
