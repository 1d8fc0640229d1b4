"""Parquet: all fields but flags are read back, and tables of others with class labels."""

import io
import json
from typing import Any

import pytest

from attributes.formats.common import FormatError, Reading
from attributes.formats.parquet import read_parquet, write_parquet
from attributes.types import Entry
from tests.attributes.formats.examples import BIRD, MACHINE, PLAIN

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def parquet(columns: dict[str, Any], features: dict[str, Any] | None = None) -> bytes:
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_all_fields_but_flags_are_read_back() -> None:
    entries = [BIRD, MACHINE, PLAIN, Entry("ibis")]
    read = read_parquet(write_parquet(entries))
    assert [(one.label, one.sense, one.lines) for one in read] == [(one.label, one.sense, one.lines) for one in entries]


def test_columns_of_others_are_recognised_and_the_rest_is_named() -> None:
    columns = {"name": ["crane", "ibis"], "descriptors": [["a long neck", "grey wings"], None], "split": ["a", "b"]}
    reading = Reading()
    crane, ibis = read_parquet(parquet(columns), reading)
    assert (crane.phrases, ibis.lines) == (("a long neck", "grey wings"), ())
    assert reading.report.read_as == "Parquet (columns name and descriptors)"
    assert reading.report.warnings == ["columns that are not used: split"]


def test_numbers_of_class_labels_become_their_names() -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["crane", "ibis"]}}
    crane, ibis = read_parquet(parquet({"label": [0, 1], "text": ["a long neck", "a bent bill"]}, features))
    assert (crane.label, ibis.label) == ("crane", "ibis")


def test_numbers_without_names_are_no_labels() -> None:
    with pytest.raises(FormatError, match="2 faults.*\n.*a label that is a number"):
        read_parquet(parquet({"label": [0, 1], "text": ["a", "b"]}))


def test_other_bytes_are_refused() -> None:
    with pytest.raises(FormatError, match="is not Parquet"):
        read_parquet(b"PAR1 and no more")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_without_pyarrow(name: str, *rest: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", import_without_pyarrow)
    with pytest.raises(FormatError, match=r"pip install 'limbeck\[datasets\]'"):
        write_parquet([BIRD])
