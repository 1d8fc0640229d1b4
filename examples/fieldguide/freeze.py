"""The digest of the world: `python -m examples.fieldguide.freeze --check`.

`world.lock.json` holds sha256 sums over `species.json`, over the raw pixels of a fixed sample of pictures and over
the teacher's files, so that nobody tunes a student on a world that has moved. Without `--check` it is written anew:
a deliberate act, after which every earlier figure is of another world.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from examples.fieldguide.world import picture, species

HERE = Path(__file__).parent
LOCK_FILE = HERE / "world.lock.json"
TEACHER_FILES = ("open_clip_config.json", "open_clip_model.safetensors", "train.jsonl")


def picture_digest() -> str:
    """Over three pictures of every eighth species, raw pixels and not PNG bytes: compressors differ."""
    digest = hashlib.sha256()
    for one in species()[::8]:
        for number in range(3):
            digest.update(picture(one, number, seed=0).tobytes())
    return digest.hexdigest()


def digests() -> dict[str, str]:
    """What `world.lock.json` must say."""
    text = (HERE / "species.json").read_text(encoding="utf-8")
    found = {"species.json": hashlib.sha256(text.encode()).hexdigest(), "pictures": picture_digest()}
    for name in TEACHER_FILES:
        found[f"teacher/{name}"] = hashlib.sha256((HERE / "teacher" / name).read_bytes()).hexdigest()
    return found


def locked() -> dict[str, str]:
    content: dict[str, str] = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Freeze the field guide's world, or check that it stands.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args(arguments)
    found = digests()
    if not options.check:
        LOCK_FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(f"frozen in {LOCK_FILE.name}")
        return
    moved = [name for name, digest in locked().items() if found.get(name) != digest]
    if moved:
        raise SystemExit(f"the world has moved: {', '.join(moved)} differ from {LOCK_FILE.name}")
    print("the world stands as frozen")


if __name__ == "__main__":
    main()
