"""Token counts of lines: by a teacher's stored tokenizer, and by CLIP's vocabulary without one."""

from typing import Any

import pytest

from attributes.gates.token_lengths import clip_token_counter
from limbeck.shared.clip_tokenizer import clip_merges, clip_tokenizer
from limbeck.shared.templates import render_line
from store import resources
from tests.api.conftest import Service

LINES = [
    {"label": "crane", "kind": "phrase", "text": "a long  neck."},
    {"label": "crane", "kind": "sentence", "text": ""},
    {"label": "crane", "kind": "sentence", "text": "very " * 80},
]


def count(service: Service, *, status: int = 200, **body: Any) -> dict[str, Any]:
    response = service.http.post("/v1/token-counts", json=body)
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found


def test_lines_are_counted_as_the_teacher_reads_them(service: Service) -> None:
    found = count(service, lines=LINES)
    texts = [render_line(line["label"], line["kind"], line["text"]) for line in LINES]
    assert texts[0] == "a photo of crane, which has a long neck"
    assert found["num_tokens"] == clip_token_counter().count(texts)
    assert (found["num_tokens"][0], found["context_length"], found["teacher"]) == (12, 77, None)
    assert found["num_tokens"][2] > 77


def test_the_tokenizer_of_a_teacher_is_read_from_its_file(service: Service) -> None:
    assert count(service, status=422, teacher="t", lines=LINES)["errors"][0]["pointer"] == "/teacher"
    letters = clip_tokenizer(clip_merges()[:0])
    stored = service.artefacts.put_bytes(letters.to_str().encode(), "teachers/t/tokenizer.json")
    with service.db.write() as tx:
        resources.put_teacher(
            tx,
            ref="t",
            digest="d" * 64,
            width=8,
            context_length=16,
            logit_scale=1.0,
            preprocess={},
            tokenizer_key=stored.key,
        )
    found = count(service, teacher="t", lines=LINES[:1])
    # Without merges, a token is a letter.
    letters_of_text = len(render_line("crane", "phrase", LINES[0]["text"]).replace(" ", ""))
    assert (found["num_tokens"], found["context_length"], found["teacher"]) == ([letters_of_text + 2], 16, "t")


@pytest.mark.parametrize(
    ("lines", "pointer"),
    [
        ([], "/lines"),
        ([LINES[0]] * 101, "/lines"),
        ([{**LINES[0], "text": "x" * 5_001}], "/lines/0/text"),
        ([{**LINES[0], "kind": "poem"}], "/lines/0/kind"),
    ],
)
def test_bad_requests_name_the_field(service: Service, lines: list[Any], pointer: str) -> None:
    assert count(service, status=422, lines=lines)["errors"][0]["pointer"] == pointer
