"""The contents of the images that a run was started with, so that it is not resumed or reported for changed images.

`pictures.npy` in the work folder of the run has the sha256 (N, 32) of each of the N images of the index. Files whose
version is known to the cache are not read again.
"""

import io
from pathlib import Path

import numpy as np

from distill.cli.arguments import RunArguments
from distill.data.atomic_files import write_bytes
from distill.data.image_files.location import listed_path
from distill.data.image_store import file_digests
from distill.data.packed_strings import PackedPaths
from distill.data.row_cache import Keys
from distill.hooks import PipelineHooks
from limbeck.shared.images.file_names import shown_path

_EXAMPLES = 3


def record_pictures(arguments: RunArguments, hooks: PipelineHooks) -> None:
    """Store the contents of the images, unless they were stored when the run was started. Raises Stopped."""
    file = _file(arguments)
    if file.exists():
        return
    content = io.BytesIO()
    np.save(content, _digests(arguments, hooks), allow_pickle=False)
    write_bytes(file, content.getvalue())


def check_pictures(arguments: RunArguments, hooks: PipelineHooks) -> None:
    """Raise ValueError, with the changed images, if the run was started with other contents; and Stopped.

    Runs of earlier releases stored no contents; they are not checked.
    """
    file = _file(arguments)
    if not file.exists():
        return
    stored, current = np.load(file, allow_pickle=False), _digests(arguments, hooks)
    if stored.shape != current.shape:
        raise ValueError(f"{file} does not fit the images of the run: give --out another folder")
    changed = np.flatnonzero((stored != current).any(axis=1))
    if len(changed):
        paths = arguments.image_index.paths
        first = ", ".join(shown_path(listed_path(paths[row])) for row in changed[:_EXAMPLES])
        more = " …" if len(changed) > _EXAMPLES else ""
        raise ValueError(
            f"{arguments.out} holds a run on other pictures: the content of {len(changed)} of {len(stored)} images "
            f"has changed ({first}{more}): restore the files, or give --out another folder"
        )


def _file(arguments: RunArguments) -> Path:
    return arguments.work / "pictures.npy"


def _digests(arguments: RunArguments, hooks: PipelineHooks) -> Keys:
    index = arguments.image_index
    paths = PackedPaths(Path(index.root), index.paths, range(len(index)))
    return file_digests(paths, cache=arguments.cache, num_workers=arguments.config.system.num_workers, hooks=hooks)
