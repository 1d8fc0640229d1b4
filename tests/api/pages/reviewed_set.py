"""An attribute set with a report, images, an LLM response and hostile texts, for tests of its pages."""

import json
from typing import Any

from limbeck import Client
from store.artefacts import Artefacts
from store.db import Database
from store.enrich import results
from store.models import SetReport
from store.sets import reports
from tests.api.drafting import LLM, NECK, TALL

HOSTILE = (
    "<script>document.title = 'run'</script>",
    '"><img src=x onerror="document.title=1">',
    "javascript:document.title=1",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "\u05e9\u05dc\u05d5\u05dd (crane) 1 < 2",
    "</textarea></template><b>bold</b>",
)
ENTRIES: list[dict[str, Any]] = [
    {"label": "crane", "sense": "bird", "lines": [TALL, NECK]},
    {"label": "heron", "lines": [NECK, {**TALL, "locked": True}], "flags": ["too_few_phrases"]},
    {"label": HOSTILE[0], "sense": HOSTILE[3], "lines": [{**NECK, "text": text, "part": text} for text in HOSTILE]},
    {"label": "stork"},
    {"label": "ibis", "lines": [{"kind": "phrase", "text": "a bent bill", "origin": "human"}]},
    {"label": HOSTILE[4], "lines": [NECK]},
]
ANSWER = "\n".join([*HOSTILE, "\u202etxet \u2066desrever"])
"""An answer is shown as the LLM gave it; from labels and lines, marks of direction are removed when they are stored."""


def import_set(client: Client, entries: list[dict[str, Any]] | None = None) -> str:
    """Import the entries; returns the id of the set."""
    document = {"format": "limbeck.attributes", "version": 2, "entries": ENTRIES if entries is None else entries}
    return client.attribute_sets.import_file(json.dumps(document), name="birds of " + HOSTILE[1]).id


def add_response(db: Database) -> None:
    """The response of an LLM that the lines name."""
    message = {"role": "user", "content": f"Describe it. {ANSWER}"}
    response = {
        "key": LLM["call"],
        "model": "the-model",
        "base_url": "",
        "strategy": LLM["strategy"],
        "messages": [message],
        "answer": ANSWER,
        "lines": [],
        "other_lines": None,
        "flags": [],
    }
    with db.write() as tx:
        results.record_responses(tx, [response])


def add_report(db: Database, artefacts: Artefacts, set_id: str, *, teacher: str = "") -> None:
    """A report in which heron (1) and ibis (4) fail a gate; with a teacher, crane and heron are confusable."""
    violations = [
        {"position": 1, "label": "heron", "lines": [], "others": ["ibis"], "note": "0.9 of the words"},
        {"position": 4, "label": "ibis", "lines": [], "others": ["heron"], "note": ""},
    ]
    content = b"".join(json.dumps(one).encode() + b"\n" for one in violations)
    stored = artefacts.put_bytes(content, f"reports/{set_id}/{teacher or 'none'}.jsonl")
    pairs = [{"labels": ["crane (bird)", "heron"], "positions": [0, 1], "margin": 0.0123}]
    gates = [
        _gate("twins", holds=False, figure=2, threshold=0, num_labels=2),
        _gate("shared", holds=True, figure=0.123, threshold=0.15, unit="share"),
        _gate("margin", holds=None, figure=None, threshold=0, details={"most_confusable": pairs} if teacher else {}),
    ]
    figures = {"gates": gates, "places": {"twins": [[1, 0], [5, len(content)]]}, "holds": False}
    with db.write() as tx:
        failures = {"twins": [1, 4], "shared": []}
        reports.put(tx, set_id=set_id, teacher=teacher, figures=figures, file_key=stored.key, failures=failures)
        assert tx.get_one(SetReport, (set_id, teacher))


def _gate(name: str, **fields: Any) -> dict[str, Any]:
    return {"gate": name, "tells": f"title of {name}", "unit": "labels", "num_labels": 0, "details": {}, **fields}
