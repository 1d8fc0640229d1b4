"""The cap of a job as one of its parts keeps it: worst cases set aside before calls, what they took put in their place.

`held` of the job's sums (`store.enrich.usage`) was set aside for this part, in blocks. Of that the calls in flight need
their worst case; calls that ended need what they took, until the transaction that records them. Where the cap has no
room for another call, the part gives back what it can spare and waits: for its own calls first, then for those of the
other parts. Only when nothing can come back any more, the budget is spent.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from attributes.llm.limits import BudgetSpent
from attributes.llm.prices import Price
from attributes.llm.results import Call
from attributes.prompts.questions import Question
from store.db import Database
from store.enrich import usage
from store.enrich.usage import NOTHING, Amount
from store.jobs import claims
from store.jobs.claims import Claim
from workers.enrich.usage import cost_of, is_refused, is_stated

CALLS_PER_BLOCK = 32
LOOK_AGAIN_S = 0.5


class Budget:
    """A `Meter` for one attempt at a part of a job with a cap; of one event loop. `price` is None where only tokens are
    capped. Needs `close`, once nothing is in flight."""

    def __init__(self, db: Database, claim: Claim, price: Price | None) -> None:
        self._db, self._claim, self._price = db, claim, price
        self._lock = threading.Lock()  # blocks are fetched and calls recorded in threads
        self._held = self._in_flight = self._ended = NOTHING
        self._is_holder = False
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._fetching: set[asyncio.Future[bool]] = set()

    async def reserve(self, ask: Question, max_prompt_tokens: int, max_completion_tokens: int) -> Amount:
        """Set aside the worst case of one attempt; may wait until others are settled. Raises BudgetSpent, LeaseLost."""
        wanted = worst_case(self._price, max_prompt_tokens, max_completion_tokens)
        while not self._takes(wanted):
            async with self._turn:
                if self._takes(wanted):
                    break
                self._news.clear()
                if await self._in_thread(wanted):
                    continue
                if self._in_flight == NOTHING and not await asyncio.to_thread(self._others_may_give):
                    raise BudgetSpent
                try:
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._news.wait()
                except TimeoutError:
                    pass
        return wanted

    async def release(self, reservation: object, call: Call | None) -> None:
        """Put what the attempt came to in its place; what nobody stated stays set aside for good."""
        assert isinstance(reservation, Amount)
        took, is_all = (NOTHING, True) if call is None else took_by(call, self._price)
        with self._lock:
            self._in_flight -= reservation
            self._ended += took
            if not is_all:
                self._held -= (reservation - took).at_most(reservation)
        self._news.set()

    def released(self, rows: Sequence[Mapping[str, Any]]) -> Amount:
        """What these rows of the ledger, once recorded, no longer need set aside."""
        return usage.came_to(rows).at_most(self._held)

    def recorded(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The transaction that recorded them, and let go of `released`, is committed."""
        with self._lock:
            took = usage.came_to(rows)
            self._held -= took.at_most(self._held)
            self._ended -= took.at_most(self._ended)

    async def close(self) -> None:
        """Give back what no call needs."""
        if self._fetching:
            await asyncio.wait(self._fetching)
        await asyncio.to_thread(self._give_back)

    def _takes(self, wanted: Amount) -> bool:
        with self._lock:
            if not (self._held - self._in_flight - self._ended).covers(wanted):
                return False
            self._in_flight += wanted
            return True

    async def _in_thread(self, wanted: Amount) -> bool:
        # Whoever waits may be cancelled; what is set aside meanwhile is counted all the same.
        fetching = asyncio.ensure_future(asyncio.to_thread(self._fetch, wanted))
        self._fetching.add(fetching)
        fetching.add_done_callback(self._fetching.discard)
        return await asyncio.shield(fetching)

    def _fetch(self, wanted: Amount) -> bool:
        blocks = (wanted.times(CALLS_PER_BLOCK), wanted)
        with self._db.write() as tx:
            claims.check(tx, self._claim)
            block = next((one for one in blocks if usage.reserve(tx, self._claim.job_id, one)), NOTHING)
            if block != NOTHING and not self._is_holder:
                usage.mark_holder(tx, self._claim, holds=True)
        with self._lock:
            self._is_holder = self._is_holder or block != NOTHING
            self._held += block
        return block != NOTHING

    def _others_may_give(self) -> bool:
        self._give_back()
        with self._db.read() as tx:
            return usage.others_hold(tx, self._claim)

    def _give_back(self) -> None:
        """Give back what no call needs. Of what calls that ended took nothing comes back, recorded or not."""
        with self._lock:
            spare = (self._held - self._in_flight - self._ended).at_most(self._held)
            self._held -= spare
            was_holder, self._is_holder = self._is_holder, self._in_flight != NOTHING
            holds = self._is_holder
        if was_holder or spare != NOTHING:
            with self._db.write() as tx:
                usage.mark_holder(tx, self._claim, holds=holds)
                usage.give_back(tx, self._claim.job_id, spare)


def worst_case(price: Price | None, prompt_tokens: int, completion_tokens: int, *, batch: bool = False) -> Amount:
    """What a call of so many tokens takes; without a price the cap is one of tokens alone."""
    cost = 0
    if price is not None:
        cost = price.cost(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, batch=batch)
    return Amount(cost, prompt_tokens + completion_tokens)


def took_by(call: Call, price: Price | None, *, batch: bool = False) -> tuple[Amount, bool]:
    """What a call is known to have taken, and whether that is all: nobody may have stated its use."""
    known = Amount(cost_of(call, price, batch=batch) or 0, (call.prompt_tokens or 0) + (call.completion_tokens or 0))
    return known, is_stated(call) or is_refused(call)
