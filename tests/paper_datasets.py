"""Miniatures of the six data sets of Li et al., as the scripts of their code leave them on disk.

The data set as it was unpacked, then `train/`, `val_on_train/` and `val/` with copies of its images in a folder for
each class (`scripts/split_dataset.py`), `label2text.txt` and `chatgpt.txt` (README), and the features that the training
stores in these folders. Class names are those of the published lists; the images are drawn.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

NUM_IMAGES = {"train": 3, "val_on_train": 1, "val": 2}
"""Images of each class in each part."""


@dataclass(frozen=True)
class Miniature:
    """Classes that are seen and unseen, by folder, each with its label. `original`: where an unpacked image lies."""

    seen: Mapping[str, str]
    unseen: Mapping[str, str]
    original: str
    suffix: str = ".jpg"


MINIATURES: Mapping[str, Miniature] = {
    "cub": Miniature(
        {"121.Grasshopper_Sparrow": "Grasshopper Sparrow", "001.Black_footed_Albatross": "Black footed Albatross"},
        {"063.Ivory_Gull": "Ivory Gull", "022.Chuck_will_Widow": "Chuck will Widow"},
        "CUB_200_2011/images/{folder}/{name}",
    ),
    "flowers102": Miniature(
        {"watercress": "watercress", "hard-leaved_pocket_orchid": "hard-leaved pocket orchid"},
        {"carnation": "carnation", "pink_primrose": "pink primrose"},
        "jpg/{name}",
    ),
    "food101": Miniature(
        {"pancakes": "pancakes", "apple_pie": "apple pie"},
        {"shrimp_and_grits": "shrimp and grits", "baklava": "baklava"},
        "images/{folder}/{name}",
    ),
    "cars": Miniature(
        {
            "Toyota_Corolla_Sedan_2012": "Toyota Corolla Sedan 2012",
            "AM_General_Hummer_SUV_2000": "AM General Hummer SUV 2000",
        },
        {
            "Ferrari_458_Italia_Coupe_2012": "Ferrari 458 Italia Coupe 2012",
            "Acura_TL_Sedan_2012": "Acura TL Sedan 2012",
        },
        "cars_train/{name}",
    ),
    "sun397": Miniature(
        {"hayfield": "hayfield", "apartment_building_outdoor": "apartment building outdoor"},
        {"laundromat": "laundromat", "airplane_cabin": "airplane cabin"},
        "{first}/{path}/{name}",
    ),
    "tiered_imagenet": Miniature(
        {"n02119789": "kit fox", "n02012849": "crane"},
        {"n03126707": "crane", "n02110185": "Siberian husky"},
        "tiered_imagenet/{part}/{folder}/{name}",
        suffix=".JPEG",
    ),
}


def write_miniature(name: str, root: Path, side_px: int = 32) -> Path:
    """Write the miniature of a data set to the folder `root`, with images of `side_px`."""
    miniature = MINIATURES[name]
    number = 0
    for part, count in NUM_IMAGES.items():
        for folder in miniature.unseen if part == "val" else miniature.seen:
            copied = root / part / folder
            copied.mkdir(parents=True)
            for _ in range(count):
                number += 1
                file = f"image_{number:05d}{miniature.suffix}"
                path = folder.replace("building_outdoor", "building/outdoor") if name == "sun397" else folder
                tier = "val" if part == "val" else "train"
                place = miniature.original.format(folder=folder, name=file, first=folder[0], path=path, part=tier)
                _draw(root / place, folder, number, side_px)
                shutil.copyfile(root / place, copied / file)
        (root / part / "clip_image_feats.pt").write_bytes(b"features that the training stored")
    labels = miniature.seen | miniature.unseen
    lines = [f"{folder} {at} {label.replace(' ', '_')}" for at, (folder, label) in enumerate(labels.items(), start=1)]
    (root / "label2text.txt").write_text("\n".join(lines) + "\n")
    (root / "chatgpt.txt").write_text("".join(f"A {label} has the shape of {at}.\n" for at, label in labels.items()))
    if name == "cub":
        (root / "attributes.txt").write_text("1 has_bill_shape::curved\n")
    if name == "sun397":
        (root / "ClassName.txt").write_text("".join(f"/{one[0]}/{one}\n" for one in labels))
    return root


def _draw(path: Path, folder: str, number: int, side_px: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.frombuffer(folder.encode()[-3:], np.uint8).astype(int)
    noise = np.random.default_rng(number).integers(0, 60, (side_px, side_px, 3))
    Image.fromarray(((colour * 2 + noise) % 256).astype(np.uint8)).save(path, "JPEG")
