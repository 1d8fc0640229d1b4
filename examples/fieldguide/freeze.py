"""Checks that the field guide is unchanged: `python -m examples.fieldguide.freeze --check`.

`world.lock.json` holds the sha256 of `species.json`, of the raw pixels of a fixed sample of images and of the files of
the teacher, so that results are not compared across different versions. Without `--check` the lock file is rewritten;
earlier results are then no longer comparable.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from examples.fieldguide.world import species, species_image

HERE = Path(__file__).parent
LOCK_FILE = HERE / "world.lock.json"
TEACHER_FILES = ("open_clip_config.json", "open_clip_model.safetensors", "train.jsonl")


def image_digest() -> str:
    """sha256 over three images of every eighth species: raw pixels, not PNG bytes, because compressors differ."""
    digest = hashlib.sha256()
    for member in species()[::8]:
        for number in range(3):
            digest.update(species_image(member, number, seed=0).tobytes())
    return digest.hexdigest()


def digests() -> dict[str, str]:
    """The current content for `world.lock.json`: name → sha256."""
    text = (HERE / "species.json").read_text(encoding="utf-8")
    current = {"species.json": hashlib.sha256(text.encode()).hexdigest(), "pictures": image_digest()}
    for name in TEACHER_FILES:
        current[f"teacher/{name}"] = hashlib.sha256((HERE / "teacher" / name).read_bytes()).hexdigest()
    return current


def locked() -> dict[str, str]:
    """The content of `world.lock.json`."""
    content: dict[str, str] = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the lock file of the field guide, or check it.")
    parser.add_argument("--check", action="store_true", help="compare with the lock file; write nothing")
    options = parser.parse_args(arguments)
    current = digests()
    if not options.check:
        LOCK_FILE.write_text(json.dumps(current, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {LOCK_FILE.name}")
        return
    changed = [name for name, digest in locked().items() if current.get(name) != digest]
    if changed:
        raise SystemExit(f"the field guide has changed: {', '.join(changed)} differ from {LOCK_FILE.name}")
    print(f"the field guide is unchanged: it matches {LOCK_FILE.name}")


if __name__ == "__main__":
    main()
