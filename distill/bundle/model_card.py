"""The model card of a bundle: what the student is, how well it does, how to load it, what it was made from.

The words around the facts are in `model_card.md`. Labels, attributes and names come from people and language models,
so that all of them are escaped: no text of theirs becomes markup, a link or code.
"""

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.bundle.card_metrics import PART_NAMES, measures
from distill.texts.text_templates import TEXTS

TEMPLATE_FILE = Path(__file__).with_name("model_card.md")
SHOWN_LABELS = 8
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

OPEN_CLIP_CODE = """\
import open_clip
import torch
from PIL import Image

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:pairing")
tokenizer = open_clip.get_tokenizer("local-dir:pairing")
model.eval()
"""
# open_clip builds a timm tower at its own size, and a tower whose weights have the size in them must be told.
OPEN_CLIP_RESIZED_CODE = """\
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

model = open_clip.create_model("local-dir:pairing", load_weights=False)
model.visual.set_input_size({image_px})
open_clip.load_checkpoint(model, "pairing/open_clip_model.safetensors")
preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
tokenizer = open_clip.get_tokenizer("local-dir:pairing")
model.eval()
"""
OPEN_CLIP_USE = """\
with torch.inference_mode():
    picture = model.encode_image(preprocess(Image.open("picture.jpg"))[None], normalize=True)
    texts = model.encode_text(tokenizer(["a photo of a crane", "a photo of a heron"]), normalize=True)
print((picture @ texts.T).tolist())"""

CONTEXT_NOTE = """\
The labels were told behind {num_tokens} learned vectors in the place of `a photo of`. Words of your own need them
too, and open_clip does not put them there; with Limbeck installed:

```python
from pathlib import Path

from distill.texts.prompt_learning import with_context
from distill.teacher.teacher import load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets

learned = TextTargets.load(Path("targets/text_targets.safetensors")).context
teacher = load_teacher("local-dir:pairing")
texts = encode_text_targets(teacher, [["a photo of a crane"], ["a photo of a heron"]], cache=None)
print(with_context(teacher, texts, learned).features)
```

"""

TRANSFORMERS_NOTE = "\nopen_clip reads this teacher's tokenizer by the transformers library, which must be installed."


def escape(text: str) -> str:
    """Text as Markdown that shows just that text, on one line."""
    kept = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(ENTITIES.get(c) or ("\\" + c if c in string.punctuation else c) for c in kept)


def model_card(
    *,
    student: str,
    parameters: int,
    width: int,
    model_args: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    teacher: str,
    labels: Sequence[str],
    num_shortened: int,
    evaluation: Mapping[str, Any],
    made_from: Mapping[str, Any],
    resized: bool,
    wants_transformers: bool,
    num_context: int = 0,
) -> str:
    """The card in Markdown.

    `preprocess`: how the student sees a picture, as in `distill.bundle.write`. `evaluation`: `text`, the parts `id` and
    `ood` where there are any, and under `teacher` a list of evaluations of the teacher where it was measured.
    `made_from`: digests by name, nested or not. `resized`: whether open_clip must be told the student's size.
    `wants_transformers`: whether open_clip reads this tokenizer by the transformers library. `num_context`: how many
    learned vectors stand before the labels' words.
    """
    image_px = preprocess["size"][0]
    build = [json.dumps(student), f"num_classes={width}"]
    build += [f"{name}={value!r}" for name, value in sorted(model_args.items())]
    load = OPEN_CLIP_RESIZED_CODE.format(image_px=image_px) if resized else OPEN_CLIP_CODE
    return string.Template(TEMPLATE_FILE.read_text(encoding="utf-8")).substitute(
        student=student,
        teacher=escape(teacher),
        width=width,
        parameters=f"{parameters:,}",
        image_px=image_px,
        text=_told(evaluation),
        num_labels=f"{len(labels):,}",
        accuracy=_accuracy_table(evaluation) + _known_note(made_from.get("config") or {}),
        measures=measures(evaluation),
        build=", ".join(build),
        open_clip_code=load + OPEN_CLIP_USE,
        crop_note=(CONTEXT_NOTE.format(num_tokens=num_context) if num_context else "")
        + _crop_note(preprocess)
        + (TRANSFORMERS_NOTE if wants_transformers else ""),
        labels=_label_list(labels),
        shortened=_shortened_note(num_shortened),
        made_from=_made_from_table(made_from),
    )


def _told(run: Mapping[str, Any]) -> str:
    return TEXTS.get(str(run.get("text")), "not told")


def _accuracy_table(evaluation: Mapping[str, Any]) -> str:
    parts = [part for part in PART_NAMES if evaluation.get(part)]
    if not parts:
        return "It was not evaluated."
    rows = [["", "texts", *(PART_NAMES[part] for part in parts)], ["---"] * (2 + len(parts))]
    runs = [("**student**", evaluation), *(("teacher", run) for run in evaluation.get("teacher") or ())]
    for name, run in runs:
        texts = _told(run)
        results = (run.get(part) for part in parts)
        rows.append([name, texts, *(f"{result['accuracy']:.1%}" if result else "" for result in results)])
    if evaluation.get("retrieval"):
        beside = {"ood": f"{evaluation['retrieval']['accuracy']:.1%}"}
        rows.append(["**student**, with retrieval", _told(evaluation), *(beside.get(part, "") for part in parts)])
    rows.append(["chance", "", *(f"{evaluation[part]['chance']:.1%}" for part in parts)])
    rows.append(["labels", "", *(f"{evaluation[part]['num_labels']:,}" for part in parts)])
    rows.append(["images", "", *(f"{evaluation[part]['num_images']:,}" for part in parts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _known_note(config: Mapping[str, Any]) -> str:
    """What a run knew of the labels that are called unseen, from its `distill.config.train_config.TrainConfig`."""
    data, losses = config.get("data") or {}, (config.get("objective") or {}).get("losses") or {}
    shots, protocol = data.get("shots", 0), data.get("protocol")
    notes = []
    if protocol == "fine_tune":
        notes.append(f"It was tuned on the first {shots} images of every unseen label; these are not measured.")
    if protocol == "retrieval":
        notes.append(
            f"Retrieval adds to a label's text what the teacher makes of its first {shots} images, which are in no\n"
            "figure here."
        )
    if losses.get("unseen", 0) > 0:
        notes.append(
            "In training it was told the texts of the unseen labels, though it saw no image of them: what it reaches\n"
            "on them is more than it would on labels it never heard of."
        )
    return "".join(f"\n\n{note}" for note in notes)


def _label_list(labels: Sequence[str]) -> str:
    shown = ", ".join(map(escape, labels[:SHOWN_LABELS]))
    rest = len(labels) - SHOWN_LABELS
    return f"{shown} and {rest:,} more." if rest > 0 else f"{shown}."


def _crop_note(preprocess: Mapping[str, Any]) -> str:
    if preprocess["crop_pct"] == 1:
        return "Both libraries read the student's preprocessing from its folder."
    return (
        f"The accuracies above were measured on the middle {preprocess['crop_pct']:.1%} of each picture's side, as\n"
        "timm's transform shows it. open_clip has no such crop and shows the whole picture: for the same numbers use\n"
        "timm's transform."
    )


def _shortened_note(num_shortened: int) -> str:
    if num_shortened == 0:
        return ""
    return f" Texts longer than the teacher reads, and so shortened or left out, are told there: {num_shortened:,}."


def _made_from_table(made_from: Mapping[str, Any]) -> str:
    rows = [f"| {escape(name)} | {escape(value)} |" for name, value in _flat(made_from)]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flat(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{name}.")
        else:
            rows.append((f"{above}{name}", value if isinstance(value, str) else json.dumps(value)))
    return rows
