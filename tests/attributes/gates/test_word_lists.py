"""Word lists: forms, stars, numbers, exceptions, files of a user's own."""

from pathlib import Path

import pytest

from attributes.gates.criteria import COMPARATIVES, NONVISUAL
from attributes.gates.lemmas import words
from attributes.gates.word_lists import PhraseIndex, WordListError, read_word_lists


def found(book: PhraseIndex, text: str) -> list[str]:
    said = words(text)
    return [" ".join(said[one.start : one.stop]) for one in book.find(said)]


def test_a_word_stands_for_its_forms_a_star_for_its_endings_a_number_for_any(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# mine\n[habit]\nperch\nvocal*\n3 feet\nin the air\n!growth habit\nhabit\n", encoding="utf-8")
    book = read_word_lists([path])
    assert found(book, "Perching, vocalising, 40 feet tall; perched in the air") == [
        "perching",
        "vocalising",
        "40 feet",
        "perched",
        "in the air",
    ]
    assert found(book, "webbed feet in the open") == []
    assert found(book, "a bushy growth habit") == []
    assert found(book, "a habit of its growth") == ["habit"]
    assert {one.category for one in book.find(words("it perches"))} == {"habit"}


def test_the_longest_phrase_wins_and_gaps_are_not_read_over(tmp_path: Path) -> None:
    book = PhraseIndex()
    book.add("known as", "name")
    book.add("also known as", "name")
    assert found(book, "also known as a crane") == ["also known as"]
    assert book.find(["also", "known", "", "as"]) == []


def test_a_users_file_adds_and_takes_out(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("-habit\n[price]\nexpensive\n", encoding="utf-8")
    assert found(read_word_lists([NONVISUAL]), "an expensive habit") == ["habit"]
    assert found(read_word_lists([NONVISUAL, mine]), "an expensive habit") == ["expensive"]


@pytest.mark.parametrize(
    ("content", "fault"), [("[habit\n", "line 1"), ("ok\n!\n", "line 2"), ("a*b c\n", "line 1"), ("[]\n", "line 1")]
)
def test_a_malformed_file_names_the_line(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WordListError, match=rf"bad\.txt {fault}"):
        read_word_lists([path])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WordListError, match=r"none\.txt: No such file"):
        read_word_lists([tmp_path / "none.txt"])
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(WordListError, match=r"latin\.txt: is not UTF-8"):
        read_word_lists([tmp_path / "latin.txt"])


@pytest.mark.parametrize(
    "text",
    [
        "found in North America",
        "a loud, croaking voice",
        "a nocturnal bird",
        "also known as the calendula",
        "a wingspan of up to 24 inches",
        "fragrant flowers",
        "used for cutting wood",
        "a rare sight",
        "a beautiful crest",
        "up to 40 feet tall",
        "a unique habit of frequently perching on poles",
    ],
)
def test_our_list_finds_what_no_picture_shows(text: str) -> None:
    assert found(read_word_lists([NONVISUAL]), text)


@pytest.mark.parametrize(
    "text",
    [
        "webbed feet",
        "a bushy growth habit",
        "a small songbird",
        "wings spread in flight",
        "a striking red head",
        "leaves floating on the water",
        "found in a variety of colors",
        "a diving duck",
        "a silver ring on its bill",
    ],
)
def test_our_list_leaves_what_a_picture_shows(text: str) -> None:
    assert found(read_word_lists([NONVISUAL]), text) == []


@pytest.mark.parametrize(
    "text",
    [
        "larger than a crow",
        "darker than most",
        "compared to the heron",
        "unlike other gulls",
        "similar to the tern",
        "similar in appearance",
        "a longer bill",
        "distinguished from the raven by its tail",
        "the same as a wren",
    ],
)
def test_comparisons_are_found(text: str) -> None:
    assert found(read_word_lists([COMPARATIVES]), text)


@pytest.mark.parametrize(
    "text",
    [
        "a swan-like neck",
        "bracts resembling a bell",
        "curved rather than straight",
        "more than two stripes",
        "wings contrasting with a white body",
        "darker streaks on the back",
        "relatively short legs",
        "a long bill",
    ],
)
def test_similes_of_shape_are_no_comparisons(text: str) -> None:
    assert found(read_word_lists([COMPARATIVES]), text) == []
