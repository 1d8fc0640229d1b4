"""Whether the images of a dataset have captions of their own, as `distill.texts.captions` finds them."""

import json
from collections.abc import Iterable
from itertools import islice

from distill.data.image_index import Item
from distill.texts.captions import read_captions
from distill.texts.text_templates import TextsError
from store.artefacts import Artefacts
from store.models import Dataset
from store.settings import Settings
from store.uploads.places import UploadsOff, root_of_dataset

_MAX_IMAGES = 10_000


def has_captions(dataset: Dataset, settings: Settings, planned: Iterable[Item] | None = None) -> bool:
    """Whether an image has a caption in the index, in the set beside the images, or in a text file of its own.

    `planned`: the images of a dataset that is not stored. Of a dataset with many images the first are looked at; if
    these have none, the others may.
    """
    if planned is not None:
        rows = list(islice(planned, _MAX_IMAGES + 1))
    else:
        with Artefacts(settings.artefacts).open(dataset.manifest_key) as file:
            next(file)  # the header
            rows = [Item(*json.loads(line)) for line in islice(file, _MAX_IMAGES + 1)]
    if len(rows) > _MAX_IMAGES:
        return True
    listed = [row.caption or "" for row in rows]
    try:
        folder = root_of_dataset(settings, dataset) / dataset.path
        return any(read_captions(folder, [row.path for row in rows], listed=listed))
    except (TextsError, UploadsOff):
        return False
