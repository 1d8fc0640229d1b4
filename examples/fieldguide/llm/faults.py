"""Scripted faults of the stand-in LLM, read from a JSON list of rules. The first rule that matches a call is applied.

    [{"fault": "status", "status": 429, "retry_after": 1, "label": "Merrow", "attempts": [0]},
     {"fault": "hang", "calls": [3]}, {"fault": "refusal", "share": 0.1}]

Conditions of a rule (all given conditions must hold): `label`, a substring of the label; `calls`, indices over all
calls; `attempts`, indices over the calls for one label; `share`, a fixed fraction of the labels; `times`, the maximum
number of applications. `fault` is one of `FAULTS`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from examples.fieldguide.llm.types import FaultRecord

FAULTS = {
    "status": "returns `status` with an error body, and `retry_after` as a Retry-After header if given",
    "hang": "sends nothing until the client disconnects or `seconds` have passed",
    "slow": "sends the correct response after `seconds`",
    "reset": "resets the connection",
    "truncated": "sends half of the text with finish_reason stop",
    "cut_body": "closes the connection after half of the HTTP body",
    "prose": "wraps the JSON in prose and a code fence",
    "rubbish": "sends text that is not JSON",
    "not_json": "sends status 200 with an HTTP body that is not JSON",
    "empty_choices": "sends a completion without choices",
    "null_content": "sends null content",
    "wrong_types": "sends JSON with values of the wrong types",
    "other_label": "describes another label",
    "length": "sends half of the text with finish_reason length",
    "refusal": "sends a refusal",
    "expired": "in a batch: the batch expires before the request; otherwise like `hang`",
}


@dataclass(frozen=True, kw_only=True)
class FaultRule:
    fault: str
    status: int = 500
    retry_after: float | None = None
    seconds: float = 3600.0
    label: str | None = None
    calls: Sequence[int] | None = None
    attempts: Sequence[int] | None = None
    share: float | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no fault {self.fault!r}: choose one of {', '.join(FAULTS)}")

    def matches(self, *, label: str, call: int, attempt: int) -> bool:
        """Whether the rule applies to call number `call`, which is attempt number `attempt` for the label."""
        return (
            (self.label is None or self.label.lower() in label.lower())
            and (self.calls is None or call in self.calls)
            and (self.attempts is None or attempt in self.attempts)
            and (self.share is None or _unit_hash(label) < self.share)
        )


def _unit_hash(label: str) -> float:
    """A hash of the label in [0, 1), the same on every run."""
    return int.from_bytes(hashlib.sha256(label.lower().encode()).digest()[:4], "big") / 2**32


def parse_rules(records: Iterable[FaultRecord]) -> list[FaultRule]:
    """The rules of a JSON list. Raises ValueError for unknown keys and faults."""
    known = {field.name for field in fields(FaultRule)}
    rules = []
    for number, record in enumerate(records):
        unknown = set(record) - known
        if unknown:
            raise ValueError(f"fault rule {number} has unknown keys {sorted(unknown)}: choose from {sorted(known)}")
        rules.append(FaultRule(**record))
    return rules


def read_rules(path: Path) -> list[FaultRule]:
    return parse_rules(json.loads(path.read_text(encoding="utf-8")))


class Faults:
    """The rules, with the number of applications of each."""

    def __init__(self, rules: Iterable[FaultRule] = ()) -> None:
        self._rules = list(rules)
        self._applied: Counter[int] = Counter()

    def next(self, *, label: str, call: int, attempt: int) -> FaultRule | None:
        """The rule for this call, counted as applied; None if no rule matches."""
        for number, rule in enumerate(self._rules):
            is_used_up = rule.times is not None and self._applied[number] >= rule.times
            if not is_used_up and rule.matches(label=label, call=call, attempt=attempt):
                self._applied[number] += 1
                return rule
        return None
