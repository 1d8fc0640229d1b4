"""Word lists: word forms, prefixes, numbers, exceptions, and user files."""

from pathlib import Path

import pytest

from attributes.gates.criteria import COMPARATIVES, NONVISUAL
from attributes.gates.words.lemmas import words
from attributes.gates.words.word_lists import PhraseIndex, WordListError, read_word_lists


def found(index: PhraseIndex, text: str) -> list[str]:
    text_words = words(text)
    return [" ".join(text_words[match.start : match.stop]) for match in index.find(text_words)]


def test_words_match_their_forms_prefixes_and_any_number(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# mine\n[habit]\nperch\nvocal*\n3 feet\nin the air\n!growth habit\nhabit\n", encoding="utf-8")
    index = read_word_lists([path])
    assert found(index, "Perching, vocalising, 40 feet tall; perched in the air") == [
        "perching",
        "vocalising",
        "40 feet",
        "perched",
        "in the air",
    ]
    assert found(index, "webbed feet in the open") == []
    assert found(index, "a bushy growth habit") == []
    assert found(index, "a habit of its growth") == ["habit"]
    assert {match.category for match in index.find(words("it perches"))} == {"habit"}


def test_the_longest_phrase_is_found_and_gaps_end_a_phrase(tmp_path: Path) -> None:
    index = PhraseIndex()
    index.add("known as", "name")
    index.add("also known as", "name")
    assert found(index, "also known as a crane") == ["also known as"]
    assert index.find(["also", "known", "", "as"]) == []


def test_a_user_file_adds_and_removes_phrases(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("-habit\n[price]\nexpensive\n", encoding="utf-8")
    assert found(read_word_lists([NONVISUAL]), "an expensive habit") == ["habit"]
    assert found(read_word_lists([NONVISUAL, mine]), "an expensive habit") == ["expensive"]


@pytest.mark.parametrize(
    ("content", "location"), [("[habit\n", "line 1"), ("ok\n!\n", "line 2"), ("a*b c\n", "line 1"), ("[]\n", "line 1")]
)
def test_a_malformed_file_error_names_the_line(tmp_path: Path, content: str, location: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WordListError, match=rf"bad\.txt {location}"):
        read_word_lists([path])


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
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
def test_nonvisual_phrases_are_found(text: str) -> None:
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
def test_visual_phrases_are_not_found(text: str) -> None:
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
def test_comparatives_are_found(text: str) -> None:
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
def test_similes_of_shape_are_not_comparatives(text: str) -> None:
    assert found(read_word_lists([COMPARATIVES]), text) == []
