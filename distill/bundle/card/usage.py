"""How to use a student, for the model card: one complete program for each library, which runs in the bundle's folder.

Each program decodes `photo.jpg` as training does: upright, and with its transparent parts on the student's background.
"""

import json
from collections.abc import Iterator

from distill.bundle.card.facts import CardFacts, escape, share
from distill.bundle.card.metrics import PART_NAMES
from limbeck.shared.images.background import WHITE

UINT8_FILE, INT8_FILE, TEXT_FILE = "image-uint8.onnx", "image-int8.onnx", "text.onnx"

DECODE = """\
image = ImageOps.exif_transpose(Image.open("photo.jpg"))
image = image.convert("RGBA" if image.has_transparency_data else "RGB")
photo = Image.new("RGB", image.size, "{background}")
photo.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
"""

TIMM = """\
import json

import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

model = timm.create_model("local-dir:image", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
targets = load_file("targets/text_targets.safetensors")["features"]
with open("targets/labels.json", encoding="utf-8") as file:
    labels = [entry["label"] for entry in json.load(file)["labels"]]

{decode}
with torch.inference_mode():
    embedding = torch.nn.functional.normalize(model(transform({photo})[None]), dim=-1)
cosines = (embedding @ targets.T)[0]
scores = (cosines / {temperature}).softmax(dim=-1)
for score, label in zip(*scores.topk(min(5, len(labels)))):
    print(f"{{float(score):.3f}} {{labels[int(label)]}}")
"""
NONE_OF_THESE = """\
if cosines.max() < {threshold}:
    print("none of these")
"""

SEVERAL_LABELS = """\
print([labels[int(label)] for label in (cosines >= {threshold}).nonzero()] or "none of these")
"""

SEVERAL_LABELS_NOTE = (
    "\nThe `scores` compare the labels with each other. For all labels of an image, compare its `embedding` with\n"
    "`targets/text_targets.safetensors` as above, or call `limbeck classify . photo.jpg`."
)

OPEN_CLIP_LOAD = """\
import open_clip
import torch
from PIL import Image, ImageOps

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:pairing")
"""
# open_clip builds an image tower of timm at its default size. If the student is another, its own tower replaces it
# before the weights are loaded.
OPEN_CLIP_OWN_TOWER_LOAD = """\
import open_clip
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps

model = open_clip.create_model("local-dir:pairing", load_weights=False, pretrained_text=False)
model.visual.trunk = timm.create_model({build})
open_clip.load_checkpoint(model, "pairing/open_clip_model.safetensors")
preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
"""
OPEN_CLIP_USE = """\
tokenizer = open_clip.get_tokenizer("local-dir:pairing")
model.eval()
words = ["crane", "heron", "pelican"]

{decode}
with torch.inference_mode():
    embedding = model.encode_image(preprocess(photo)[None], normalize=True)
    texts = model.encode_text(tokenizer([f"a photo of a {{word}}" for word in words]), normalize=True)
scores = (embedding @ texts.T / {temperature}).softmax(dim=-1)[0]
for score, word in zip(scores, words):
    print(f"{{float(score):.3f}} {{word}}")
"""
OPEN_CLIP = """\
### open_clip

Any words, with the student paired with the teacher's text encoder.

```python
{code}```"""
NO_OPEN_CLIP = """\
### open_clip

This folder has no `pairing/` for open_clip: {reason}. Encode other texts with the teacher, and compare them with the
student's embedding as above."""

ONNX_RUNTIME = """\
### ONNX Runtime

The labels of this folder, with preprocessing and texts inside the graph. Needs onnxruntime and Pillow, and no torch.

```python
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("onnx/image-uint8.onnx")
with open("onnx/config.json", encoding="utf-8") as file:
    labels = json.load(file)["labels"]

{decode}
scores, embedding = session.run(["scores", "embedding"], {{"image": np.asarray(photo)[None]}})
for label in scores[0].argsort()[::-1][:5]:
    print(f"{{scores[0][label]:.3f}} {{labels[label]}}")
```

`onnx/image.onnx` is the image encoder alone, for images preprocessed as in timm and in batches of any size.{more}"""
NO_ONNX_RUNTIME = """\
### ONNX Runtime

This folder has no `{part}`: {reason}."""
INT8 = "\n`onnx/image-int8.onnx` is the same with 8-bit weights{measured}."
TEXT = '\n`onnx/text.onnx` encodes new words: `limbeck classify . photo.jpg --labels "crane,heron"`.'
NO_TEXT = "\nNew words need `onnx/text.onnx`; `python -m distill export . --text` of a Limbeck checkout adds it."

TRANSFORMERS = """\
### transformers

`image/` is also read by transformers (with timm installed), with the same preprocessing and the same weights. The
logits are the embedding, not scores of classes.

```python
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForImageClassification

processor = AutoImageProcessor.from_pretrained("image")
model = AutoModelForImageClassification.from_pretrained("image").eval()

{decode}
embedding = model(**processor({photo}, return_tensors="pt")).logits.detach()
print(embedding[0].tolist())
```"""

CONTEXT_NOTE = """\
The texts of the labels were encoded with {num_tokens} learned vectors in the place of `a photo of`. Other texts need
these vectors too. open_clip does not insert them; Limbeck does{with_teacher}:

```python
from pathlib import Path

from distill.texts.prompt_learning import with_context
from distill.teacher.teacher import load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets

learned = TextTargets.load(Path("targets/text_targets.safetensors"))
teacher = load_teacher({teacher})
texts = encode_text_targets(teacher, [["a photo of a crane"], ["a photo of a heron"]], cache=None)
print(with_context(teacher, texts, learned.context, second_stop=learned.second_stop).features)
```"""
TRANSFORMERS_NOTE = "open_clip loads this teacher's tokenizer with the transformers library, which must be installed."


def usage_markdown(facts: CardFacts) -> str:
    """The programs under a heading for each library, and notes."""
    decode = DECODE.format(background=facts.preprocess.get("background", WHITE))
    photo = 'photo.convert("L")' if facts.preprocess.get("mode") == "L" else "photo"
    sections = [
        _timm(facts, decode, photo),
        _open_clip(facts, decode),
        _onnx_runtime(facts, decode),
        TRANSFORMERS.format(decode=decode.rstrip("\n"), photo=photo),
        *_notes(facts),
    ]
    return "\n\n".join(sections)


def build_arguments(facts: CardFacts) -> str:
    """The arguments of `timm.create_model` that build the student."""
    build = [json.dumps(facts.student), f"num_classes={facts.width}"]
    return ", ".join(build + [f"{name}={value!r}" for name, value in sorted(facts.model_args.items())])


def _timm(facts: CardFacts, decode: str, photo: str) -> str:
    code = TIMM.format(decode=decode.rstrip("\n"), photo=photo, temperature=facts.temperature)
    if threshold := facts.evaluation.get("none_of_these"):
        code += NONE_OF_THESE.format(threshold=f"{threshold['threshold']:.6g}")
    if (several := facts.evaluation.get("multi_label")) and several["threshold"]:
        code = code[: code.index("scores = ")] + SEVERAL_LABELS.format(
            threshold=f"{several['threshold']['threshold']:.9g}"
        )
    return (
        f"### timm\n\nThe labels of this folder, by their stored texts.\n\n```python\n{code}```\n\n"
        "The model from its weights alone, without `image/config.json`:\n"
        f'`timm.create_model({build_arguments(facts)}, checkpoint_path="image/model.safetensors")`'
    )


def _open_clip(facts: CardFacts, decode: str) -> str:
    if facts.pairing is None:
        return NO_OPEN_CLIP.format(reason=escape(facts.left_out.get("pairing", "it was not written")))
    load = OPEN_CLIP_OWN_TOWER_LOAD.format(build=build_arguments(facts))
    load = OPEN_CLIP_LOAD if facts.pairing == "plain" else load
    use = OPEN_CLIP_USE.format(decode=decode.rstrip("\n"), temperature=facts.temperature)
    return OPEN_CLIP.format(code=load + use)


def _onnx_runtime(facts: CardFacts, decode: str) -> str:
    if UINT8_FILE not in facts.onnx:
        part, shown = (UINT8_FILE, f"onnx/{UINT8_FILE}") if UINT8_FILE in facts.left_out else ("onnx", "onnx/")
        return NO_ONNX_RUNTIME.format(part=shown, reason=escape(facts.left_out.get(part, "it was not written")))
    more = INT8.format(measured=_int8_loss(facts)) if INT8_FILE in facts.onnx else ""
    several = SEVERAL_LABELS_NOTE if facts.evaluation.get("multi_label") else ""
    return ONNX_RUNTIME.format(decode=decode.rstrip("\n"), more=several + more + _new_words(facts))


def _new_words(facts: CardFacts) -> str:
    if TEXT_FILE in facts.onnx:
        return TEXT
    return NO_TEXT if facts.pairing is not None else ""


def _int8_loss(facts: CardFacts) -> str:
    """The accuracies of the int8 encoder beside those of the float one."""
    measured = facts.evaluation.get("onnx")
    parts = [(title, measured[name]) for name, title in PART_NAMES.items()] if measured else []
    shown = [f"{share(part['int8'])} (float32: {share(part['float32'])}) on {title}" for title, part in parts if part]
    measure = "mAP " if facts.evaluation.get("multi_label") else ""
    return f": {measure}{', '.join(shown)}" if shown else ", whose accuracy was not measured"


def _notes(facts: CardFacts) -> Iterator[str]:
    if facts.num_context:
        yield _context_note(facts)
    yield from _crop_note(facts)
    if facts.needs_transformers and facts.pairing is not None:
        yield TRANSFORMERS_NOTE


def _context_note(facts: CardFacts) -> str:
    if facts.pairing == "plain":
        return CONTEXT_NOTE.format(num_tokens=facts.num_context, teacher='"local-dir:pairing"', with_teacher="")
    # Limbeck loads a pairing as open_clip does, by its name alone. A backtick could end the block of code.
    teacher = json.dumps(facts.teacher).replace("`", "\\u0060")
    return CONTEXT_NOTE.format(num_tokens=facts.num_context, teacher=teacher, with_teacher=", with the teacher")


def _crop_note(facts: CardFacts) -> Iterator[str]:
    crop = facts.preprocess["crop_pct"]
    if crop == 1:
        return
    note = (
        f"The accuracies above were measured on the central {share(crop)} of each image's side, which\n"
        "the transform of timm crops."
    )
    if facts.pairing is not None:
        note += " open_clip does not crop and uses the whole image: use timm's transform to reproduce\nthe accuracies."
    yield note
