"""Parquet: columns, class names of a Hugging Face data set, and a message where pyarrow is missing."""

import io
import json
import sys
from typing import Any

import pytest

from tests.limbeck.shared.label_files.reading import ids, names, refusal


def _parquet(columns: dict[str, list[Any]], metadata: dict[bytes, bytes] | None = None) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), file)
    return file.getvalue()


@pytest.mark.slow
def test_columns_of_a_parquet_file() -> None:
    content = _parquet({"id": [1, 2], "name": ["crane", "heron"]})
    assert names(content) == ["crane", "heron"]
    assert ids(content)[0] == {"id": "1"}
    assert "nothing says which" in refusal(_parquet({"a": ["x", "y"], "b": ["z", "w"]}))
    assert "without rows" in refusal(_parquet({"name": []}))


@pytest.mark.slow
def test_class_names_of_a_data_set() -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["crane", "heron"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    assert names(_parquet({"label": [0, 1, 0]}, metadata)) == ["crane", "heron"]


def test_without_pyarrow_and_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    if "pyarrow" in sys.modules:
        assert "is a damaged Parquet file" in refusal(b"PAR1xxxxPAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert refusal(b"PAR1xxxxPAR1") == (
        "is a Parquet file, which needs pyarrow: install the extra `datasets`, or save the labels as CSV"
    )
