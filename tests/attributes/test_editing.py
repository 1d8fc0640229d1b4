"""Edits of the lines of one label: origins, provenance, errors, and flags."""

import pytest

from attributes.editing import MAX_LINES, EditError, LineChange, add, edit, lock, recompute_flags, remove, replace_all
from attributes.types import Entry, Line

NECK = Line("phrase", "a long neck", "neck", "long", strategy="phrases@1", call="ab12")
CROWN = Line("phrase", "a red crown", strategy="phrases@1", call="ab12")
LINES = (NECK, CROWN)
HERON = "heron (bird)"


def resolve(about: str) -> str | None:
    return HERON if about == "heron" else None


def test_a_new_line_has_origin_human_and_no_provenance() -> None:
    change = LineChange(kind="phrase", text=" a grey back ", part="back")
    assert add(LINES, change, resolve, before=CROWN.id)[1] == Line("phrase", "a grey back", "back", origin="human")
    assert add(LINES, change, resolve)[-1].text == "a grey back"


def test_an_edited_line_has_origin_human_and_keeps_its_provenance() -> None:
    edited, other = edit(LINES, NECK.id, LineChange(text="a very long neck"), resolve)
    assert (edited.text, edited.part, edited.origin) == ("a very long neck", "neck", "human")
    assert (edited.strategy, edited.call, other) == ("phrases@1", "ab12", CROWN)


def test_an_edit_that_changes_no_content_keeps_the_origin() -> None:
    locked, _ = edit(LINES, NECK.id, LineChange(text="a long neck", locked=True), resolve)
    assert (locked.origin, locked.locked) == ("llm", True)


def test_a_new_kind_drops_the_fields_that_it_cannot_have() -> None:
    edited, _ = edit(LINES, NECK.id, LineChange(kind="sentence"), resolve)
    assert (edited.kind, edited.part, edited.value) == ("sentence", "", "")


def test_the_other_label_of_a_contrast_is_resolved() -> None:
    line = add((), LineChange(kind="contrast", text="a short bill", about="heron"), resolve)[0]
    assert line.about == HERON


def test_remove_and_lock() -> None:
    assert remove(LINES, NECK.id) == (CROWN,)
    assert [line.locked for line in lock(LINES, CROWN.id, True)] == [False, True]
    assert all(line.locked for line in lock(LINES, None, True))


def test_replace_all_continues_lines_with_the_same_id_or_content() -> None:
    changes = [LineChange(text="a red crown"), LineChange(id=NECK.id, text="a neck"), LineChange(text="new")]
    crown, neck, new = replace_all(LINES, changes, resolve)
    assert crown == CROWN
    assert (neck.text, neck.origin, neck.call) == ("a neck", "human", "ab12")
    assert new == Line("phrase", "new", origin="human")


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        (LineChange(), "/text", "is missing"),
        (LineChange(text=" . "), "/text", "has no letter or digit"),
        (LineChange(text=" "), "/text", "is blank"),
        (LineChange(text="a red crown"), "/text", f"says the same as line {CROWN.id}"),
        (LineChange(text="A bird.", kind="sentence", part="bill"), "/part", "a line of kind sentence has no part"),
        (LineChange(text="a bill", part="x" * 501), "/part", "has 501 characters"),
        (LineChange(text="a bill", kind="contrast"), "/about", "must name the label"),
        (LineChange(text="a bill", kind="contrast", about="stork"), "/about", "names no other label"),
    ],
)
def test_an_invalid_line_is_refused_with_the_faulty_field(change: LineChange, pointer: str, message: str) -> None:
    with pytest.raises(EditError, match=message) as caught:
        add(LINES, change, resolve)
    assert caught.value.pointer == pointer
    with pytest.raises(EditError, match=message) as caught:
        replace_all(LINES, [LineChange(text="a red crown"), change], resolve)
    assert caught.value.pointer == f"/lines/1{pointer}"


def test_an_unknown_line_id_is_refused() -> None:
    with pytest.raises(EditError, match="no line 'x'"):
        remove(LINES, "x")
    with pytest.raises(EditError, match="no line 'x'") as caught:
        add(LINES, LineChange(text="a bill"), resolve, before="x")
    assert caught.value.pointer == "/before"


def test_the_number_of_lines_is_limited() -> None:
    lines = tuple(Line("phrase", f"phrase {i}") for i in range(MAX_LINES))
    with pytest.raises(EditError, match="at most 500"):
        add(lines, LineChange(text="one more"), resolve)
    with pytest.raises(EditError, match="at most 500"):
        replace_all((), [LineChange(text=f"phrase {i}") for i in range(MAX_LINES + 1)], resolve)


def test_flags_are_recomputed_with_the_limits_of_the_strategy() -> None:
    assert recompute_flags(Entry("crane", lines=LINES)) == ("too_few_phrases",)
    assert recompute_flags(Entry("crane", lines=(Line("phrase", "a neck", origin="human"),))) == ()
    assert recompute_flags(Entry("crane")) == ()
    unknown = Line("phrase", "word " * 50, strategy="unknown@1")
    assert recompute_flags(Entry("crane", lines=(unknown,))) == ()
