"""A priced LLM in this process whose bill is known to the token, for the tests of money."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attributes.llm.prices import Price, read_prices
from attributes.llm.transport import RawResponse
from tests.workers.enrich_bench import ScriptedLLM

PRICE = Price(input=2_000_000, cached_input=500_000, output=8_000_000)  # 2, 0.5 and 8 dollars a million
_PRICES = """
[[price]]
base_url = "http://stand-in/v1"
batch = "0.5"
[price.models]
fieldguide = { input = "2", cached_input = "0.5", output = "8" }
"""


def price_file(folder: Path) -> Path:
    """A price file that knows the stand-in."""
    path = folder / "prices.toml"
    path.write_text(_PRICES)
    assert read_prices(path).find("fieldguide", "http://stand-in/v1") is not None
    return path


class BillingLLM(ScriptedLLM):
    """Uses as many tokens as chance says, up to the limits of a call, and fails now and then; `billed` is what it takes
    for all that it did, stated or not."""

    def __init__(self, seed: int = 0, *, faults: float = 0.3, unstated: float = 0.0, latency_s: float = 0.002) -> None:
        super().__init__(latency_s)
        self.chance = random.Random(seed)
        self.faults, self.unstated = faults, unstated
        self.billed_pusd = self.billed_tokens = self.num_unstated = 0

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        reply = await super().send(body)
        await asyncio.sleep(self.chance.uniform(0, self.latency_s))
        if self.chance.random() < self.faults / 2:
            return RawResponse(status="rate_limited", http_status=429, retry_after_s=0.001, detail="later")
        prompt, cached = self.chance.randint(50, 400), self.chance.randint(0, 50)
        answer = self.chance.randint(20, body["max_tokens"] if self.chance.random() < 0.1 else 120)
        self.billed_pusd += PRICE.cost(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=answer)
        self.billed_tokens += prompt + answer
        told: dict[str, int | None] = {"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": answer}
        if self.chance.random() < self.unstated:
            self.num_unstated += 1
            told = dict.fromkeys(told)
        text = "Certainly! Here is" if self.chance.random() < self.faults / 2 else reply.text
        return RawResponse(status="ok", http_status=200, text=text, **told)
