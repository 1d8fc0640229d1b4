"""Scripted faults of the stand-in LLM, read from a JSON list of rules; the first rule that fits a call is applied.

    [{"fault": "status", "status": 429, "retry_after": 1, "label": "Merrow", "attempts": [0]},
     {"fault": "hang", "calls": [3]}, {"fault": "refusal", "share": 0.1}]

Which calls a rule fits (all that is given must fit): `label`, a part of the label; `calls`, indices over all calls;
`attempts`, indices over the calls for one label; `share`, a share of the labels, always the same ones; `times`, how
often it is applied at most. What happens: one of `FAULTS`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FAULTS = {
    "status": "answers with `status` and an error body, with `retry_after` seconds as a header when given",
    "hang": "never answers, until the client goes or `seconds` have passed",
    "slow": "answers rightly after `seconds`",
    "reset": "resets the connection",
    "truncated": "answers with half of the text and finish_reason stop",
    "cut_body": "promises a whole HTTP body and closes in its middle",
    "prose": "wraps the JSON in prose and a code fence",
    "rubbish": "answers with text that is no JSON",
    "not_json": "answers 200 with an HTTP body that is no JSON",
    "empty_choices": "answers with no choices",
    "null_content": "answers with null content",
    "wrong_types": "answers with JSON of the wrong types",
    "other_label": "answers for another label",
    "length": "breaks off with finish_reason length",
    "refusal": "refuses",
    "expired": "in a batch: never comes to it, and the batch expires; else as `hang`",
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    fault: str
    status: int = 500
    retry_after: float | None = None
    seconds: float = 3600.0
    label: str | None = None
    calls: tuple[int, ...] | None = None
    attempts: tuple[int, ...] | None = None
    share: float | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no fault {self.fault!r}: there are {', '.join(FAULTS)}")

    def fits(self, *, label: str, call: int, attempt: int) -> bool:
        return (
            (self.label is None or self.label.lower() in label.lower())
            and (self.calls is None or call in self.calls)
            and (self.attempts is None or attempt in self.attempts)
            and (self.share is None or _place(label) < self.share)
        )


def _place(label: str) -> float:
    """Where a label lies in [0, 1), the same on every run."""
    return int.from_bytes(hashlib.sha256(label.lower().encode()).digest()[:4], "big") / 2**32


def parse_rules(records: Iterable[Mapping[str, Any]]) -> list[Rule]:
    known = {field.name for field in fields(Rule)}
    rules = []
    for number, record in enumerate(records):
        unknown = set(record) - known
        if unknown:
            raise ValueError(f"fault rule {number} has unknown keys {sorted(unknown)}: there are {sorted(known)}")
        lists = {key: tuple(record[key]) for key in ("calls", "attempts") if record.get(key) is not None}
        rules.append(Rule(**{**record, **lists}))
    return rules


def read_rules(path: Path) -> list[Rule]:
    return parse_rules(json.loads(path.read_text(encoding="utf-8")))


class Faults:
    """The rules with how often each was applied."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = list(rules)
        self._applied: Counter[int] = Counter()

    def next(self, *, label: str, call: int, attempt: int) -> Rule | None:
        for number, rule in enumerate(self._rules):
            spent = rule.times is not None and self._applied[number] >= rule.times
            if not spent and rule.fits(label=label, call=call, attempt=attempt):
                self._applied[number] += 1
                return rule
        return None
