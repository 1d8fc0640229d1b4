"""Gate reports: the rows of a gate belong to the newest report that measured it."""

from sqlalchemy.orm import Session

from store import vocabularies
from store.db import Database
from store.models import AttributeSet
from store.sets import attribute_sets, reports
from store.vocabularies import NewLabel

FIGURES = {"judges": "j", "gates": [{"gate": "twins", "holds": False}, {"gate": "own", "holds": True}]}


def add_set(tx: Session) -> AttributeSet:
    vocabulary = vocabularies.create(tx, name="birds", domain="birds", labels=[NewLabel("crane"), NewLabel("tern")])
    pages = attribute_sets.put_pages(tx, [None, None])
    return attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={})


def put(tx: Session, set_id: str, teacher: str, failures: dict[str, list[int]]) -> None:
    reports.put(tx, set_id=set_id, teacher=teacher, figures=FIGURES, file_key="k", failures=failures)


def test_a_report_replaces_the_rows_of_its_gates_only(db: Database) -> None:
    with db.write() as tx:
        set_id = add_set(tx).id
        put(tx, set_id, "", {"twins": [1, 0], "own": [1]})
        assert reports.flagged_positions(tx, set_id) == {"twins": [0, 1], "own": [1]}
        put(tx, set_id, "t", {"twins": []})
        assert reports.flagged_positions(tx, set_id) == {"own": [1]}


def test_the_newest_report_and_the_report_of_a_teacher(db: Database) -> None:
    with db.write() as tx:
        set_id = add_set(tx).id
        assert reports.get(tx, set_id) is None
        put(tx, set_id, "", {})
        put(tx, set_id, "t", {})
        for teacher, expected in ((None, "t"), ("", ""), ("t", "t")):
            found = reports.get(tx, set_id, teacher)
            assert found is not None
            assert found.teacher == expected


def test_a_report_is_found_by_content_while_it_is_the_newest_of_its_set(db: Database) -> None:
    with db.write() as tx:
        first = add_set(tx)
        content = {"vocabulary_id": first.vocabulary_id, "digest": first.digest}
        put(tx, first.id, "", {})
        found = reports.find_for_content(tx, **content, judges="j")
        assert found is not None
        assert found.set_id == first.id
        assert reports.find_for_content(tx, **content, judges="other") is None
        put(tx, first.id, "t", {})
        assert reports.find_for_content(tx, **content, judges="j") is None


def test_failing_gates() -> None:
    assert reports.failing_gates(FIGURES) == ["twins"]
