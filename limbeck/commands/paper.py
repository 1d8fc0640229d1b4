"""`limbeck run --paper cub …`: the six data sets of Li et al. (arXiv:2307.03135), as the scripts of their code lay them
out.

`scripts/split_dataset.py` of that code copies the images of its lists into `train/`, `val_on_train/` (held out) and
`val/` (unseen labels), a folder for each class. `label2text.txt` (names) and `chatgpt.txt` (a sentence for each) lie
beside them, as its README says, and so does the data set as it was unpacked. `--paper` reads this layout, and sets the
recipe, the teacher and the passes per epoch of the paper; an option that is given counts, and with one of the LLM, the
LLM describes the labels.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.commands.common import BadInput

LABELS, SENTENCES = "label2text.txt", "chatgpt.txt"
TEACHER = "ViT-L-14:openai"
SPLIT: Mapping[str, object] = {"by": "parts"}
SOURCE: Mapping[str, object] = {"layout": "part_folders"}


@dataclass(frozen=True, kw_only=True)
class PaperDataset:
    """A data set of the paper. `folder`: its name in the published code. `domain`: of its labels.

    `counts`: published numbers of images and labels; None where the lists are not in the code's repository. `is_small`:
    whether a ResNet makes five passes per epoch, else one; a ViT makes five or three.
    """

    folder: str
    domain: str
    counts: Mapping[str, int] | None
    is_small: bool = False

    def passes(self, *, is_vit: bool) -> int:
        """The published passes per epoch."""
        return 5 if self.is_small else 3 if is_vit else 1

    def differences(self, counts: Mapping[str, int]) -> list[str]:
        """How the images of a dataset differ from the published split, as words."""
        nouns = {
            "train": "training images",
            "held_out": "held-out images",
            "ood": "images of unseen labels",
            "id_labels": "seen labels",
            "ood_labels": "unseen labels",
        }
        published = self.counts or {}
        return [
            f"{counts.get(name, 0):,} {nouns[name]}, the paper has {number:,}"
            for name, number in published.items()
            if counts.get(name, 0) != number
        ]


def _counts(train: int, held_out: int, ood: int, id_labels: int, ood_labels: int) -> dict[str, int]:
    return {"train": train, "held_out": held_out, "ood": ood, "id_labels": id_labels, "ood_labels": ood_labels}


PAPER_DATASETS: Mapping[str, PaperDataset] = {
    "cub": PaperDataset(
        folder="CaltechBirds", domain="birds", counts=_counts(4122, 1740, 5926, 100, 100), is_small=True
    ),
    "flowers102": PaperDataset(
        folder="Flower102", domain="flowers", counts=_counts(3112, 1303, 3774, 51, 51), is_small=True
    ),
    "food101": PaperDataset(folder="Food101", domain="dishes", counts=_counts(35_700, 15_300, 50_000, 51, 50)),
    "cars": PaperDataset(folder="StanfordCars", domain="cars", counts=_counts(2874, 1164, 4106, 98, 98), is_small=True),
    "sun397": PaperDataset(folder="SUN397", domain="scenes", counts=_counts(38_663, 16_444, 53_647, 200, 197)),
    "tiered_imagenet": PaperDataset(folder="tiered-ImageNet", domain="", counts=None),
}
"""By the names of their layouts (`docs/images.md`)."""


def paper_dataset(name: str) -> PaperDataset:
    """The data set of this name, or of its name in the published code. Raises BadInput."""
    for layout, found in PAPER_DATASETS.items():
        if name.lower().replace("-", "_") in (layout, found.folder.lower().replace("-", "_")):
            return found
    raise BadInput(f"--paper {name!r}: choose one of {', '.join(PAPER_DATASETS)}")


def labels_file(images: str) -> Path:
    """`label2text.txt` in the folder of the images, here or below LIMBECK_DATA_ROOT. Raises BadInput."""
    data_root = os.environ.get("LIMBECK_DATA_ROOT")
    for root in (Path(), *([Path(data_root)] if data_root else [])):
        if file := _file_called(LABELS, root / images):
            return file
    where = "here or below LIMBECK_DATA_ROOT" if data_root else "here, and LIMBECK_DATA_ROOT is not set"
    raise BadInput(
        f"--labels: {LABELS} is not in {images} ({where}): copy it there from data/ of the paper's code, or give its "
        "place"
    )


def sentences_file(labels: Path) -> str:
    """The sentences beside `label2text.txt`; empty if there are none, and an LLM writes them."""
    file = _file_called(SENTENCES, labels.parent) if labels.name.lower() == LABELS else None
    return "" if file is None else str(file)


def _file_called(name: str, folder: Path) -> Path | None:
    """The file of this name in a folder, in any case of its letters; None if there is none."""
    if (file := folder / name).is_file():
        return file
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((file for file in found if file.name.lower() == name and file.is_file()), None)


def recipe_and_settings(
    dataset: PaperDataset, recipe: str, config: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    """The recipe (`recipe` if given), and `config` with the passes per epoch of a published one."""
    is_vit = "vit" in str(config.get("student", "")) or "_vit" in recipe
    recipe = recipe or ("li2023_vit" if is_vit else "li2023_resnet")
    settings = dict(config)
    schedule = settings.get("schedule")
    is_given = "passes_per_epoch" in settings or (isinstance(schedule, Mapping) and "passes_per_epoch" in schedule)
    if recipe.startswith("li2023_") and not recipe.endswith("_vit_5shot") and not is_given:
        settings["passes_per_epoch"] = dataset.passes(is_vit=is_vit)
    return recipe, settings
