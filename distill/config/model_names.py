"""Names of students and teachers that the installed timm and open_clip know, written down for rooms without torch.

`model_names.json` beside this file lists every timm model name, and the pretrained tags of every open_clip model whose
towers `distill.teacher.teacher` can load, with the versions they were read from, so that an unknown name is refused
when a job is posted and not when it runs. Write it again whenever the locked dependencies change: `python -m
distill.config.model_names`.
"""

import json
from pathlib import Path
from typing import Any

CATALOG_FILE = Path(__file__).with_name("model_names.json")


def installed() -> dict[str, Any]:
    """What the installed libraries know: `versions` by library, `timm` names, `open_clip` tags by model name."""
    import open_clip
    import timm

    tags: dict[str, list[str]] = {}
    for model, tag in open_clip.list_pretrained():
        # text towers taken from transformers want that library, which is not among the dependencies
        if "hf_model_name" not in open_clip.get_model_config(model)["text_cfg"]:
            tags.setdefault(model, []).append(tag)
    return {
        "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
        "timm": sorted(timm.list_models()),
        "open_clip": {model: sorted(tags[model]) for model in sorted(tags)},
    }


def written() -> dict[str, Any]:
    """What `model_names.json` says, in the shape of `installed()`. Imports neither torch nor the libraries."""
    catalog: dict[str, Any] = json.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return catalog


def main() -> None:
    """Write `model_names.json` from what is installed, a name a line so that a change of versions reads as a diff."""
    catalog = installed()
    CATALOG_FILE.write_text(json.dumps(catalog, indent=0) + "\n", encoding="utf-8")
    num_teachers = sum(len(tags) for tags in catalog["open_clip"].values())
    print(f"{CATALOG_FILE.name}: {len(catalog['timm'])} students, {num_teachers} teachers, {catalog['versions']}")


if __name__ == "__main__":
    main()
