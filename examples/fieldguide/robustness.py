"""Domain shift, corruptions and unknown images for a student of the field guide.

    python -m examples.fieldguide.robustness --out DIR [--student resnet18] [--epochs 40] [--corruptions 160]

Writes images of the seen and of the validation species, the same species in four other styles, and images of other
things; trains a student and a closed-set baseline; measures the student on all of them, and adds the results to its
bundle `DIR/student/bundle`, whose model card shows them. The styles are filters of new drawings, not drawn by hand.
The species of the test group are not used.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from attributes.prompts.strategy import load_strategy
from examples.fieldguide.llm.prompts import extra_fields, parse_prompt
from examples.fieldguide.world import IMAGE_PX, species, species_image, write_class_folders

SEEN, UNSEEN = "train", "validation"
TEACHER = Path(__file__).with_name("teacher")
IMAGES_PER_SPECIES, IMAGES_PER_STYLE, NUM_THINGS = 20, 5, 200
SEED, STYLE_SEED, THING_SEED = 0, 1, 2


def sketch(image: Image.Image) -> Image.Image:
    """Dark outlines on white."""
    edges = ImageOps.grayscale(image.filter(ImageFilter.SMOOTH)).filter(ImageFilter.FIND_EDGES)
    return ImageOps.invert(ImageOps.autocontrast(edges, cutoff=2)).convert("RGB")


def watercolour(image: Image.Image) -> Image.Image:
    """Soft, pale areas of colour."""
    return ImageEnhance.Brightness(ImageEnhance.Color(image.filter(ImageFilter.MedianFilter(5))).enhance(0.7)).enhance(
        1.2
    )


def poster(image: Image.Image) -> Image.Image:
    """Few, strong colours."""
    return ImageOps.posterize(ImageEnhance.Color(image).enhance(1.6), 2)


def night(image: Image.Image) -> Image.Image:
    """Dark and blue."""
    pixels = np.asarray(image, dtype=np.float64) * (0.25, 0.3, 0.5)
    return Image.fromarray(pixels.astype(np.uint8))


STYLES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "night": night,
    "poster": poster,
    "sketch": sketch,
    "watercolour": watercolour,
}


def write_styles(folder: Path) -> None:
    """A folder of class folders for each style."""
    for group in (SEEN, UNSEEN):
        for member in species(group):
            for number in range(IMAGES_PER_STYLE):
                image = Image.fromarray(species_image(member, number, STYLE_SEED))
                for name, style in STYLES.items():
                    path = folder / name / member.folder / f"{number:04d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    style(image).save(path)


def write_things(folder: Path) -> None:
    """Stripes, checks and rings in random colours: nothing of the field guide."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(THING_SEED)
    rows, columns = np.mgrid[:IMAGE_PX, :IMAGE_PX]
    for number in range(NUM_THINGS):
        period = random.integers(6, 24)
        figure = (
            (rows + columns) // period % 2,
            (rows // period + columns // period) % 2,
            np.hypot(rows - random.integers(IMAGE_PX), columns - random.integers(IMAGE_PX)).astype(np.int64)
            // period
            % 2,
        )[number % 3]
        colours = random.integers(0, 256, (2, 3))
        noisy = colours[figure] + random.normal(0, 12, (IMAGE_PX, IMAGE_PX, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{number:04d}.png")


def lookalike_names() -> list[str]:
    """What the stand-in LLM names as look-alikes of each seen species, by the strategy `outliers`."""
    names: dict[str, None] = {}
    user = load_strategy("outliers").user
    for member in species(SEEN):
        question = user.replace("$subject", json.dumps({"label": member.name}))
        prompt = parse_prompt({"messages": [{"role": "user", "content": question}]})
        names |= dict.fromkeys(one["phrase"] for one in extra_fields(prompt, member.attributes, None, nth=0)["phrases"])
    return list(names)


def distill(*arguments: object) -> None:
    """Run `python -m distill`. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "distill", *map(str, arguments)], check=True)


def run(out: Path, *, student: str, epochs: int, corruptions: int) -> None:
    """Write the images, train and measure. A second run with the same folder continues."""
    images, domains, things = out / "images", out / "domains", out / "things"
    members = [member for group in (SEEN, UNSEEN) for member in species(group)]
    outliers = out / "outliers.txt"
    if not things.exists():
        write_class_folders(images, (SEEN, UNSEEN), IMAGES_PER_SPECIES, SEED)
        write_styles(domains)
        write_things(things)
    labels, attributes = out / "labels.txt", out / "attributes.json"
    labels.write_text("".join(f"{member.name}\n" for member in members), encoding="utf-8")
    attributes.write_text(json.dumps({member.name: member.sentence for member in members}), encoding="utf-8")
    split = {"by": "list", "id": [one.name for one in species(SEEN)], "ood": [one.name for one in species(UNSEEN)]}
    common = ["--images", images, "--labels", labels, "--attributes", attributes, "--split", json.dumps(split)]
    common += [
        "--recipe",
        "limbeck-small",
        "--student",
        student,
        "--teacher",
        f"local-dir:{TEACHER}",
        "--cache",
        out / "cache",
        "--set",
        f"epochs={epochs}",
        "--log-to",
        "",
    ]
    distill(*common, "--out", out / "student", "--set", "onnx=false")
    distill(*common, "--out", out / "baseline", "--set", "protocol=closed_set")
    outliers.write_text("".join(f"{name}\n" for name in lookalike_names()), encoding="utf-8")
    further = ["--domains", domains, "--far", things, "--outliers", outliers, "--corruptions", corruptions]
    further += [
        "--baseline",
        out / "baseline" / "classifier",
        "--cache",
        out / "cache",
        "--json",
        out / "evaluation.json",
    ]
    distill("evaluate", out / "student" / "bundle", "--images", images, *further, "--save")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure a student of the field guide beside its accuracy.")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--student", default="resnet18", help="a timm model")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of both trainings")
    parser.add_argument("--corruptions", type=int, default=160, metavar="IMAGES", help="images to corrupt")
    options = parser.parse_args(arguments)
    run(options.out.resolve(), student=options.student, epochs=options.epochs, corruptions=options.corruptions)


if __name__ == "__main__":
    main()
