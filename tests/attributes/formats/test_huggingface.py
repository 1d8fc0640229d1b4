"""Folders of Hugging Face `datasets`: written as an archive that `datasets` loads, and read back."""

import io
import zipfile
from pathlib import Path

import pytest

from attributes.formats.common import FormatError, Reading
from attributes.formats.huggingface import DATA_FILE, read_huggingface, write_huggingface
from attributes.types import Entry
from tests.attributes.formats.examples import BIRD, MACHINE, PLAIN

pytest.importorskip("pyarrow")
ENTRIES = [BIRD, MACHINE, PLAIN, Entry("ibis")]


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    return out.getvalue()


def test_the_archive_holds_the_card_and_the_rows_and_is_read_back() -> None:
    content = write_huggingface(ENTRIES)
    assert content == write_huggingface(ENTRIES)
    with zipfile.ZipFile(io.BytesIO(content)) as written:
        assert written.namelist() == ["README.md", DATA_FILE]
        assert written.read("README.md").startswith(b"---\nconfigs:\n")
    read = read_huggingface(content)
    assert [(one.label, one.sense, one.lines) for one in read] == [(one.label, one.sense, one.lines) for one in ENTRIES]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_the_folder_and_its_own_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    with zipfile.ZipFile(io.BytesIO(write_huggingface(ENTRIES))) as written:
        written.extractall(tmp_path / "birds")
    loaded = datasets.load_dataset(str(tmp_path / "birds"), cache_dir=str(tmp_path / "cache"))["train"]
    assert (loaded.num_rows, loaded[0]["label"], loaded[0]["text"]) == (5, "crane", "A tall grey bird.")

    names = datasets.ClassLabel(names=["crane", "ibis"])
    features = datasets.Features({"label": names, "descriptors": datasets.Sequence(datasets.Value("string"))})
    own = {"label": [0, 1], "descriptors": [["a long neck"], ["a bent bill", "white wings"]]}
    datasets.Dataset.from_dict(own, features=features).save_to_disk(str(tmp_path / "own"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    read = read_huggingface(archive(files))
    assert [(one.label, one.phrases) for one in read] == [
        ("crane", ("a long neck",)),
        ("ibis", ("a bent bill", "white wings")),
    ]


def test_text_files_of_a_folder_are_read() -> None:
    rows = b'{"label": "crane", "text": "a long neck"}\n{"label": "ibis", "text": "a bent bill"}\n'
    reading = Reading()
    read = read_huggingface(archive({"__MACOSX/._train.jsonl": b"x", "train.jsonl": rows, "README.md": b""}), reading)
    assert [one.label for one in read] == ["crane", "ibis"]
    read = read_huggingface(archive({"data/train.csv": b"label,text\ncrane,a long neck\n"}))
    assert [one.phrases for one in read] == [("a long neck",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and no more", "is no zip archive"),
        (archive({"xl/workbook.xml": b""}), "is an Excel workbook"),
        (archive({"README.md": b""}), "has no data file"),
        (archive({"a.jsonl": b"", "b.jsonl": b""}), r"has 2 \.jsonl files; give one"),
        (archive({"a.arrow": b"no stream"}), "is not an Arrow stream"),
    ],
)
def test_other_archives_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_huggingface(content)
