"""Two spellings of a label: which are one label, which are two, and what is refused with a message."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from distill.cli.label_files import read_labels_and_ids
from distill.data.dataset.scan import scan
from distill.data.image_folders import FolderError
from distill.data.splits import SPLIT

COMPOSED = unicodedata.normalize("NFC", "Café")
DECOMPOSED = unicodedata.normalize("NFD", "Café")
MakeImages = Callable[..., list[Path]]


def found(
    root: Path,
    make_images: MakeImages,
    labels: Sequence[str],
    folders: Sequence[str],
    folder_map: Mapping[str, str] | None = None,
) -> Mapping[str, int]:
    """The number of images of each label, with one image in each folder."""
    for number, folder in enumerate(folders):
        make_images(root / folder, 1, seed=number)
    index = scan(root, labels, SPLIT.validate_python({"by": "all"}), folder_map)
    return Counter(index.labels[item.label] for item in index)


@pytest.mark.parametrize("folder", ["Great_Tit", "GREAT TIT", "great tit ", "great-tit"])
def test_one_folder_of_another_spelling_is_the_label(tmp_path: Path, make_images: MakeImages, folder: str) -> None:
    assert found(tmp_path, make_images, ["great tit", "crane"], [folder, "crane"]) == {"great tit": 1, "crane": 1}


@pytest.mark.parametrize("other", ["Great_Tit", "great tit ", "great-tit"])
def test_two_folders_of_one_label_are_refused(tmp_path: Path, make_images: MakeImages, other: str) -> None:
    with pytest.raises(FolderError, match="rename or exclude one") as refusal:
        found(tmp_path, make_images, ["great tit", "crane"], ["great tit", other, "crane"])
    assert refusal.value.code == "merged_labels"


def test_labels_that_differ_in_spelling_have_their_exact_folders(tmp_path: Path, make_images: MakeImages) -> None:
    labels = ["Great_Tit", "great tit", "Cafe", COMPOSED]
    assert found(tmp_path / "a", make_images, labels, labels) == dict.fromkeys(labels, 1)
    with pytest.raises(FolderError, match='matches several labels .0 "Great_Tit", 1 "great tit"'):
        found(tmp_path / "b", make_images, labels, ["GREAT TIT", "Cafe"])


def test_normal_forms_of_unicode_are_one_name(tmp_path: Path, make_images: MakeImages) -> None:
    labels = [COMPOSED, "crane"]
    assert found(tmp_path / "a", make_images, labels, [DECOMPOSED, "crane"]) == {COMPOSED: 1, "crane": 1}
    with pytest.raises(FolderError, match="rename or exclude one"):
        found(tmp_path / "b", make_images, labels, [DECOMPOSED, COMPOSED, "crane"])
    # In a map too: else a folder that is called like another label would be counted there.
    mapped = found(tmp_path / "c", make_images, [*labels, "coffee"], [DECOMPOSED, "crane"], {COMPOSED: "coffee"})
    assert mapped == {"coffee": 1, "crane": 1}
    to_label = found(tmp_path / "d", make_images, labels, ["drinks", "crane"], {"drinks": DECOMPOSED})
    assert to_label == {COMPOSED: 1, "crane": 1}
    # A published label2text.txt, whose labels are not composed, maps its folders to them.
    labels = [DECOMPOSED, "crane"]
    own = found(tmp_path / "e", make_images, labels, [f"001.{DECOMPOSED}", "crane"], {f"001.{DECOMPOSED}": DECOMPOSED})
    assert own == {DECOMPOSED: 1, "crane": 1}


def test_a_label_file_refuses_equal_labels_and_warns_of_other_spellings(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    for second in ("great tit ", "Great Tit"):
        file.write_text(f"great tit\n{second}\ncrane\n")
        with pytest.raises(ValueError, match='label "[Gg]reat [Tt]it" is also on line 1'):
            read_labels_and_ids(file, print)
    notes: list[str] = []
    file.write_text("Great_Tit\ngreat tit\ncrane\n")
    assert read_labels_and_ids(file, notes.append)[0] == ["Great_Tit", "great tit", "crane"]
    assert "1 name is written in several ways, each of which is a label of its own" in " ".join(notes)
    assert '"Great_Tit = great tit"' in " ".join(notes)
    for others in ("crane\theron\ncrane\tmachine\nC\nC++\n", "1.5 V cell\n2.5 V cell\n", "A_B\tbird\na b\tsong\n"):
        file.write_text(others)
        notes.clear()
        read_labels_and_ids(file, notes.append)
        assert "several ways" not in " ".join(notes)
