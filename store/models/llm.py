"""What is asked of an LLM: answers, calls in progress, batches, outages, usage and reserved budgets."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.json_types import LineJSON
from store.models.base import Base


class LLMAnswer(Base):
    """Cache of validated LLM responses; failures are never stored. `key` is a digest of everything in the request.

    `lines` are the lines for the label of the question, `other_lines` those for the other label of a pair. `flags` are
    the flags that `attributes.flags` computed for the response.
    """

    __tablename__ = "llm_answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base_url: Mapped[str]
    strategy: Mapped[str]
    messages: Mapped[list[dict[str, object]]]
    answer: Mapped[str]
    lines: Mapped[list[LineJSON]]
    other_lines: Mapped[list[LineJSON] | None]
    flags: Mapped[list[str]]
    created_at: Mapped[float]


class LLMFlight(Base):
    """Single-flight lock: the call that a part is making, so that other jobs wait for its response."""

    __tablename__ = "llm_flights"
    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    expires_at: Mapped[float]


class LLMModelProfile(Base):
    """What a server accepts for a model (`attributes.llm.model_profile`), shared by all workers until it expires."""

    __tablename__ = "llm_model_profiles"
    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    profile: Mapped[dict[str, object]]
    learned_at: Mapped[float]
    expires_at: Mapped[float]


class LLMOutage(Base):
    """The last time that a server did not respond for a model, as the workers saw it."""

    __tablename__ = "llm_outages"
    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[float]
    failed_at: Mapped[float]


class LLMBatch(Base):
    """A batch that a part submitted to the Batch API of a server, and its status."""

    __tablename__ = "llm_batches"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(index=True)
    part_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str | None]
    status: Mapped[str]
    num_requests: Mapped[int]
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]


class LLMCall(Base):
    """The usage and cost of one HTTP attempt."""

    __tablename__ = "llm_calls"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str]
    position: Mapped[int]
    key: Mapped[str]
    strategy: Mapped[str]
    model: Mapped[str]
    mode: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[str]
    http_status: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost_pusd: Mapped[int | None] = mapped_column(BigInteger)
    latency_s: Mapped[float]
    created_at: Mapped[float]
    __table_args__ = (Index("ix_llm_calls_job_id_id", "job_id", "id"),)


class JobUsage(Base):
    """The caps of an enrich job, its usage so far, and the budget reserved for calls in flight: sums over `llm_calls`.

    `unpriced_calls` counts calls of unknown cost, which `spent_pusd` omits; `repeated_calls` those after the first one
    of a question; `repaired_responses` counts those whose JSON had to be repaired. `plan`: kind of part → the maximum
    number of its units and the number of questions per unit.
    """

    __tablename__ = "spends"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    cap_pusd: Mapped[int | None] = mapped_column(BigInteger)
    cap_tokens: Mapped[int | None] = mapped_column(BigInteger)
    plan: Mapped[dict[str, list[int]]]
    calls: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    spent_pusd: Mapped[int] = mapped_column(BigInteger)
    unpriced_calls: Mapped[int]
    repeated_calls: Mapped[int] = mapped_column(server_default=text("0"))
    repaired_responses: Mapped[int] = mapped_column(server_default=text("0"))
    reserved_pusd: Mapped[int] = mapped_column(BigInteger)
    reserved_tokens: Mapped[int] = mapped_column(BigInteger)


class LLMReservation(Base):
    """What one attempt at a part may still spend on calls that are not recorded yet: money, tokens and calls, each at
    most. The row of an attempt whose worker died stays: its calls may be billed (`store.enrich.usage`)."""

    __tablename__ = "llm_reservations"
    part_id: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    pusd: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[int]
