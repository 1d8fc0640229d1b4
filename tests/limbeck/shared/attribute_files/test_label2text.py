"""Senses and folders of label2text rows that share a name."""

from pathlib import Path

import pytest

from limbeck.shared.attribute_files.label2text import folder_map, read_rows, read_sentences
from limbeck.shared.attribute_files.reading import FormatError, Reading


def senses(text: str) -> tuple[list[str | None], list[str]]:
    reading = Reading()
    rows = read_rows(text, reading)
    reading.close()
    return [row.sense for row in rows], reading.report.warnings


def test_names_that_repeat_get_their_folder_as_sense() -> None:
    found, (warning,) = senses("crane_bird 1 crane\ncrane_machine 2 crane\nfox 3 fox\n")
    assert found == ["bird", "machine", None]
    assert warning == '2 lines have the label "crane"; its senses are taken from the folders crane_bird, crane_machine'


def test_an_identifier_as_sense_should_be_edited() -> None:
    found, (warning,) = senses("n02113186 1 Cardigan\nn02963159 2 cardigan\n")
    assert found == ["n02113186", "n02963159"]
    assert "such a sense says nothing to an LLM: edit it" in warning


def test_a_number_does_not_tell_labels_apart_in_words() -> None:
    found, (warning,) = senses("001.Crane 1 Crane\n002.Crane 2 Crane\n")
    assert found == ["001.Crane", "002.Crane"]
    assert "edit it" in warning


def test_further_names_keep_labels_apart_without_a_sense() -> None:
    assert senses("n02012849 1 crane,_Grus_grus\nn03126707 2 crane,_hoist\n") == ([None, None], [])


def test_the_same_folder_twice_is_a_fault() -> None:
    with pytest.raises(FormatError, match='label2text line 2: label "crane" is also on line 1, with the same folder'):
        senses("n1 1 crane\nn1 2 crane\n")


def test_a_partial_reading_joins_the_sentences_of_valid_lines() -> None:
    reading = Reading(partial=True)
    rows = read_rows("a 1 heron\nbroken\nb 2 ibis\nworse\n", reading)
    assert read_sentences(rows, "One.\nTwo.\nThree.\nFour.\n", reading) == ["One.", "Three."]
    assert reading.report.left_out == 2
    with pytest.raises(FormatError, match="has 3 lines for 4 labels"):
        read_sentences(rows, "One.\nTwo.\nThree.\n", reading)


def test_the_published_labels_of_tiered_imagenet_are_all_kept(tiered_imagenet: Path) -> None:
    reading = Reading()
    rows = read_rows((tiered_imagenet / "label2text.txt").read_text(), reading)
    sentences = read_sentences(rows, (tiered_imagenet / "chatgpt.txt").read_text(), reading)
    reading.close()
    assert (len(rows), len({row.label for row in rows}), len(sentences)) == (1000, 1000, 1000)
    assert len(reading.report.warnings) == 3
    folders = folder_map(rows)
    assert (len(folders), folders["n02012849"]) == (1000, "crane (n02012849)")
