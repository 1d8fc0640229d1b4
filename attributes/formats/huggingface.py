"""A folder that Hugging Face `datasets` loads, in one zip archive: a Parquet file and the dataset card.

    unzip set_1.huggingface.zip -d birds && python -c "import datasets; datasets.load_dataset('birds')"

Read are also other folders with Parquet, Arrow (`save_to_disk`), JSONL or CSV files; all splits are joined.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from attributes.formats.common import FormatError, Reading
from attributes.formats.csv import read_csv
from attributes.formats.jsonl import read_jsonl
from attributes.formats.parquet import arrow_library, parquet_rows, table_rows, write_parquet
from attributes.formats.tables import Row, read_rows
from attributes.types import Entry
from limbeck.shared.attribute_files.decoding import decode

MAX_UNPACKED_BYTES = 2**29
DATA_FILE = "data/train-00000-of-00001.parquet"
_SUFFIXES = (".parquet", ".arrow", ".jsonl", ".csv")
_UNPACKED_AT = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that equal sets give equal archives
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
tags:
- limbeck
---
# Attributes of labels

One row per line of a label, exported by Limbeck{made}. A label without attributes has one row without `kind` and
`text`.
"""


def write_huggingface(entries: Iterable[Entry], *, made_with: str = "") -> bytes:
    """The archive. Raises FormatError without pyarrow."""
    files = {"README.md": _CARD.format(made=made_with).encode(), DATA_FILE: write_parquet(entries)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _UNPACKED_AT), content)
    return out.getvalue()


def read_huggingface(content: bytes, reading: Reading | None = None) -> list[Entry]:
    """The entries of all data files of an archive. Raises FormatError with all faults."""
    reading = reading or Reading()
    files = _data_files(content)
    reading.report.read_as = f"Hugging Face data set of {len(files)} {'file' if len(files) == 1 else 'files'}"
    if len(files) > 1:
        reading.warn(f"the files are joined: {', '.join(files)}"[:300])
    suffix = PurePosixPath(next(iter(files))).suffix
    if suffix in (".jsonl", ".csv"):
        if len(files) > 1:
            raise FormatError(f"has {len(files)} {suffix} files; give one of them")
        text, reading.report.encoding = decode(next(iter(files.values())))
        return read_jsonl(text, reading) if suffix == ".jsonl" else read_csv(text, reading)
    entries = read_rows(((None, row) for row in _rows(files)), reading)
    reading.close()
    return entries


def _data_files(content: bytes) -> dict[str, bytes]:
    """The data files of one kind by name, in order. Raises FormatError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = [info for info in archive.infolist() if not _is_hidden(info.filename)]
            if any(info.filename.startswith("xl/") for info in infos):
                raise FormatError("is an Excel workbook; save the sheet as CSV UTF-8")
            for suffix in _SUFFIXES:
                chosen = [info for info in infos if info.filename.lower().endswith(suffix)]
                if sum(info.file_size for info in chosen) > MAX_UNPACKED_BYTES:
                    raise FormatError(f"has more than {MAX_UNPACKED_BYTES >> 20} MiB of data; import it in parts")
                if chosen:
                    return {info.filename: archive.read(info) for info in sorted(chosen, key=lambda one: one.filename)}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"is no zip archive that can be read: {error}") from None
    raise FormatError(f"has no data file; expected {', '.join(_SUFFIXES)}")


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _rows(files: dict[str, bytes]) -> Iterator[Row]:
    for name, content in files.items():
        if not name.lower().endswith(".arrow"):
            yield from parquet_rows(content)
            continue
        pa, ipc = arrow_library(), arrow_library("ipc")

        try:
            table = ipc.open_stream(content).read_all()
        except pa.ArrowException as error:
            raise FormatError(f"{name} is not an Arrow stream: {str(error).splitlines()[0]}") from None
        yield from table_rows(table)
