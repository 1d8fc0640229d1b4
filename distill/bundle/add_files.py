"""Adds files to an existing bundle, so that it is complete before and after: new files first, then its manifest."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from distill.bundle.verify import MANIFEST_FILE, Manifest, file_sha256
from distill.data.atomic_files import write_bytes
from distill.json_types import JSONObject


def add_files(bundle: Path, draft: Path, manifest: Manifest, left_out: Mapping[str, str]) -> list[str]:
    """Move the files below `draft` to the same places in the bundle, list them in its manifest, and return their names.

    `manifest`: of the bundle, verified. `left_out`: optional part that the bundle lacks -> reason, as it will be. If
    anything fails, the bundle is as it was. Raises OSError.
    """
    added = sorted(path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file())
    listed = {file["path"]: file for file in manifest["files"]}
    for name in added:
        path = draft / name
        listed[name] = {"path": name, "sha256": file_sha256(path), "size": path.stat().st_size}
    changed = {**manifest, "left_out": dict(left_out), "files": [listed[name] for name in sorted(listed)]}
    text = json.dumps(cast(JSONObject, changed), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with _restoring(bundle, added):
        for name in added:
            (bundle / name).parent.mkdir(mode=0o755, exist_ok=True)
            os.replace(draft / name, bundle / name)
        write_bytes(bundle / MANIFEST_FILE, text.encode(errors="backslashreplace"))
    return added


@contextmanager
def _restoring(bundle: Path, names: Sequence[str]) -> Iterator[None]:
    """Restore the files of these names if the block fails."""
    before = {name: (bundle / name).read_bytes() for name in names if (bundle / name).is_file()}
    try:
        yield
    except BaseException:
        for name in names:
            if name in before:
                write_bytes(bundle / name, before[name])
            else:
                (bundle / name).unlink(missing_ok=True)
        raise
