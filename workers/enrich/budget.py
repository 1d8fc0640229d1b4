"""Reservations of one part: reserve the maximum cost before a call, record the actual cost after it.

They enforce the budget of the job, if it has one, and they are what is known of the calls in flight if the worker dies.
The part reserves blocks of the job's budget (`store.enrich.usage`). Of its reservation, calls in flight need their
maximum cost; finished calls need their actual cost until the transaction that records them. If the budget has no room
for another call, the part releases what it does not need and waits: first for its own calls, then for those of other
parts. The budget is spent when nothing can be released any more.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from attributes.llm.costs.prices import Price
from attributes.llm.limits import BudgetSpent
from attributes.llm.results import Call
from attributes.prompts.questions import Question
from store.db import Database
from store.enrich import usage
from store.enrich.usage import NO_COST, Cost
from store.jobs import claims
from store.jobs.claims import Claim
from workers.enrich.call_costs import cost_of_call, max_cost

CALLS_PER_BLOCK = 16
RECHECK_S = 0.5
_ONE_CALL = Cost(calls=1)


class PartBudget:
    """A `BudgetGuard` for one attempt at a part. Belongs to one event loop.

    `price` is None if it is unknown; money is then not counted. `is_capped`: other parts may wait for what this one
    releases. Call `close` when no call is in flight.
    """

    def __init__(self, db: Database, claim: Claim, price: Price | None, *, is_capped: bool) -> None:
        self._db, self._claim, self._price, self._is_capped = db, claim, price, is_capped
        self._lock = threading.Lock()  # blocks are reserved and calls recorded in threads
        self._reserved = self._in_flight = self._unrecorded = NO_COST
        self._unknown = NO_COST  # of finished calls with unknown usage, until they are recorded
        self._recording = NO_COST  # the part of it that the current transaction records
        self._has_reservation = False
        self._holds_budget = False
        self._turn = asyncio.Lock()
        self._released = asyncio.Event()
        self._block_requests: set[asyncio.Future[bool]] = set()

    async def reserve(self, question: Question, max_prompt_tokens: int, max_completion_tokens: int) -> Cost:
        """Reserve the maximum cost of one attempt; may wait for other calls. Raises BudgetSpent, LeaseLost."""
        cost = max_cost(self._price, max_prompt_tokens, max_completion_tokens) + _ONE_CALL
        while not self._take(cost):
            async with self._turn:
                if self._take(cost):
                    break
                self._released.clear()
                if await self._reserve_block_in_thread(cost):
                    continue
                if self._in_flight == NO_COST and not await asyncio.to_thread(self._others_may_release):
                    raise BudgetSpent
                try:
                    async with asyncio.timeout(RECHECK_S):
                        await self._released.wait()
                except TimeoutError:
                    pass
        return cost

    async def release(self, reservation: object, call: Call | None) -> None:
        """Replace the reservation by the actual cost of the call; a call with unknown usage keeps its reservation."""
        assert isinstance(reservation, Cost)
        known, is_complete = (NO_COST, True) if call is None else cost_of_call(call, self._price)
        with self._lock:
            self._in_flight -= reservation
            if call is not None:  # until it is recorded
                self._unrecorded += known + _ONE_CALL
            if not is_complete:
                unknown = (reservation - known - _ONE_CALL).at_most(reservation)
                self._reserved -= unknown
                self._unknown += unknown
        self._released.set()

    def record(self, tx: Session, calls: Sequence[Mapping[str, Any]]) -> Cost:
        """Take these rows of `LLMCall`, which the transaction records, from what the attempt holds.

        Returns how much of the job's reservation the transaction has to release. One transaction at a time.
        """
        with self._lock:
            released = usage.cost_of_calls(calls).at_most(self._reserved)
            self._recording = self._unknown
        if (taken := released + self._recording) != NO_COST:
            usage.change_reservation(tx, self._claim, NO_COST - taken)
        return released

    def confirm_recorded(self, calls: Sequence[Mapping[str, Any]]) -> None:
        """Call it after the transaction that recorded these rows is committed."""
        with self._lock:
            cost = usage.cost_of_calls(calls)
            self._reserved -= cost.at_most(self._reserved)
            self._unrecorded -= (cost + _ONE_CALL.times(len(calls))).at_most(self._unrecorded)
            self._unknown -= self._recording
            self._recording = NO_COST

    async def close(self) -> None:
        """Release what no call needs."""
        if self._block_requests:
            await asyncio.wait(self._block_requests)
        await asyncio.to_thread(self._release_unused)
        with self._lock:
            is_recorded = self._in_flight == self._unrecorded == self._unknown == NO_COST
        if self._has_reservation and is_recorded:
            await asyncio.to_thread(self._end_reservation)

    def _end_reservation(self) -> None:
        with self._db.write() as tx:
            usage.end_reservation(tx, self._claim)

    def _take(self, cost: Cost) -> bool:
        """Take the cost from the part's free reservation; False if it is too small."""
        with self._lock:
            if not (self._reserved - self._in_flight - self._unrecorded).covers(cost):
                return False
            self._in_flight += cost
            return True

    async def _reserve_block_in_thread(self, cost: Cost) -> bool:
        # Shielded: if the caller is cancelled, the block that is being reserved is still counted.
        request = asyncio.ensure_future(asyncio.to_thread(self._reserve_block, cost))
        self._block_requests.add(request)
        request.add_done_callback(self._block_requests.discard)
        return await asyncio.shield(request)

    def _reserve_block(self, cost: Cost) -> bool:
        """Reserve a block of calls of this cost, else one call; False if the job's budget has no room."""
        with self._lock:
            free = self._reserved - self._in_flight - self._unrecorded
        blocks: tuple[Cost, ...] = (cost.times(CALLS_PER_BLOCK), cost)
        if (free + _ONE_CALL.times(CALLS_PER_BLOCK)).covers(cost):  # there is money for it
            blocks = (_ONE_CALL.times(CALLS_PER_BLOCK),)
        with self._db.write() as tx:
            claims.check(tx, self._claim)
            block = next((one for one in blocks if usage.reserve(tx, self._claim.job_id, one)), NO_COST)
            if block != NO_COST:
                usage.change_reservation(tx, self._claim, block)
            if block != NO_COST and self._is_capped and not self._holds_budget:
                usage.set_holds_budget(tx, self._claim, holds=True)
        with self._lock:
            self._has_reservation = self._has_reservation or block != NO_COST
            self._holds_budget = self._holds_budget or block != NO_COST
            self._reserved += block
        return block != NO_COST

    def _others_may_release(self) -> bool:
        self._release_unused()
        with self._db.read() as tx:
            return usage.others_hold_budget(tx, self._claim)

    def _release_unused(self) -> None:
        """Release what no call needs. The cost of finished calls is never released."""
        with self._lock:
            unused = (self._reserved - self._in_flight - self._unrecorded).at_most(self._reserved)
            self._reserved -= unused
            held_before, self._holds_budget = self._holds_budget, self._in_flight != NO_COST
            holds = self._holds_budget
        if held_before or unused != NO_COST:
            with self._db.write() as tx:
                if self._is_capped:
                    usage.set_holds_budget(tx, self._claim, holds=holds)
                usage.change_reservation(tx, self._claim, NO_COST - unused)
                usage.release(tx, self._claim.job_id, unused)
