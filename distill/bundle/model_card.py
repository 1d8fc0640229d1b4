"""The model card of a bundle: description, accuracy, usage and provenance of a student.

`model_card.md` is the template, without the header (`distill.bundle.card_header`). Labels, attributes and names come
from people and language models; all of them are escaped, so that no text of theirs becomes markup, a link or code.
"""

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distill.bundle.card_header import card_header, hub_model
from distill.bundle.card_metrics import PART_NAMES, metrics_markdown
from distill.json_types import (
    EvaluatedPart,
    EvaluationJSON,
    JSONObject,
    ModelArgs,
    StudentEvaluation,
    StudentPreprocess,
)
from distill.texts.text_templates import TEXT_KIND_TITLES

TEMPLATE_FILE = Path(__file__).with_name("model_card.md")
NUM_SHOWN_LABELS = 8
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

OPEN_CLIP_CODE = """\
import open_clip
import torch
from PIL import Image

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:pairing")
tokenizer = open_clip.get_tokenizer("local-dir:pairing")
model.eval()
"""
# open_clip builds a timm image encoder at its default size. If the shapes of the weights depend on the image size, the
# size must be set before the weights are loaded.
OPEN_CLIP_RESIZED_CODE = """\
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

model = open_clip.create_model("local-dir:pairing", load_weights=False, pretrained_text=False)
model.visual.set_input_size({image_px})
open_clip.load_checkpoint(model, "pairing/open_clip_model.safetensors")
preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
tokenizer = open_clip.get_tokenizer("local-dir:pairing")
model.eval()
"""
OPEN_CLIP_USE = """\
with torch.inference_mode():
    image = model.encode_image(preprocess(Image.open("photo.jpg"))[None], normalize=True)
    texts = model.encode_text(tokenizer(["a photo of a crane", "a photo of a heron"]), normalize=True)
print((image @ texts.T).tolist())"""

CONTEXT_NOTE = """\
The texts of the labels were encoded with {num_tokens} learned vectors in the place of `a photo of`. Other texts need
these vectors too. open_clip does not insert them; Limbeck does:

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

TRANSFORMERS_NOTE = "\nopen_clip loads this teacher's tokenizer with the transformers library, which must be installed."


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """The facts of a model card.

    `preprocess`: as in `distill.bundle.write.StudentWeights`. `evaluation`: `text`, the measured parts `id` and `ood`,
    and under `teacher` a list of evaluations of the teacher. `made_from`: digests by name, nested or not.
    `is_resized`: open_clip must set the student's size before it loads the weights. `needs_transformers`: open_clip
    loads the tokenizer with the transformers library. `num_context`: number of learned vectors before a label's text.
    """

    student: str
    num_parameters: int
    width: int
    preprocess: StudentPreprocess
    teacher: str
    labels: Sequence[str]
    evaluation: StudentEvaluation
    made_from: JSONObject
    model_args: ModelArgs = field(default_factory=ModelArgs)
    num_shortened: int = 0
    is_resized: bool = False
    needs_transformers: bool = False
    num_context: int = 0


def escape(text: str) -> str:
    """Text as Markdown that shows exactly this text, on one line."""
    printable = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(ENTITIES.get(c) or ("\\" + c if c in string.punctuation else c) for c in printable)


def model_card(facts: CardFacts) -> str:
    """The model card in Markdown."""
    image_px = facts.preprocess["size"][0]
    build = [json.dumps(facts.student), f"num_classes={facts.width}"]
    build += [f"{name}={value!r}" for name, value in sorted(facts.model_args.items())]
    load = OPEN_CLIP_RESIZED_CODE.format(image_px=image_px) if facts.is_resized else OPEN_CLIP_CODE
    header = card_header(facts.student, hub_model(facts.teacher), facts.evaluation)
    return f"{header}\n" + string.Template(TEMPLATE_FILE.read_text(encoding="utf-8")).substitute(
        student=facts.student,
        teacher=escape(facts.teacher),
        width=facts.width,
        parameters=f"{facts.num_parameters:,}",
        image_px=image_px,
        text=_text_title(facts.evaluation),
        num_labels=f"{len(facts.labels):,}",
        accuracy=_accuracy_table(facts.evaluation) + _unseen_label_notes(_section(facts.made_from, "config")),
        metrics=metrics_markdown(facts.evaluation),
        build=", ".join(build),
        open_clip_code=load + OPEN_CLIP_USE,
        usage_notes=(CONTEXT_NOTE.format(num_tokens=facts.num_context) if facts.num_context else "")
        + _crop_note(facts.preprocess)
        + (TRANSFORMERS_NOTE if facts.needs_transformers else ""),
        labels=_label_list(facts.labels),
        shortened=_shortened_note(facts.num_shortened),
        made_from=_made_from_table(facts.made_from),
    )


def _text_title(evaluation: EvaluationJSON) -> str:
    return TEXT_KIND_TITLES.get(str(evaluation.get("text")), "unknown")


def _accuracy_table(evaluation: StudentEvaluation) -> str:
    measured = {name: part for name in PART_NAMES if (part := evaluation.get(name))}
    if not measured:
        return "The student was not evaluated."
    rows = [["", "texts", *(PART_NAMES[name] for name in measured)], ["---"] * (2 + len(measured))]
    rows.append(_accuracy_row("**student**", evaluation, measured))
    rows += [_accuracy_row("teacher", one, measured) for one in evaluation.get("teacher") or ()]
    if retrieval := evaluation.get("retrieval"):
        cells = (f"{retrieval['accuracy']:.1%}" if name == "ood" else "" for name in measured)
        rows.append(["**student**, with retrieval", _text_title(evaluation), *cells])
    parts = measured.values()
    rows.append(["chance", "", *(f"{part['chance']:.1%}" for part in parts)])
    rows.append(["labels", "", *(f"{part['num_labels']:,}" for part in parts)])
    rows.append(["images", "", *(f"{part['num_images']:,}" for part in parts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _accuracy_row(name: str, evaluation: EvaluationJSON, measured: Iterable[EvaluatedPart]) -> list[str]:
    results = (evaluation.get(part) for part in measured)
    return [name, _text_title(evaluation), *(f"{result['accuracy']:.1%}" if result else "" for result in results)]


def _section(tree: JSONObject, name: str) -> JSONObject:
    """The object `name` of `tree`; empty if there is none."""
    section = tree.get(name)
    return section if isinstance(section, Mapping) else {}


def _unseen_label_notes(config: JSONObject) -> str:
    """What the training used of the unseen labels; `config`: `distill.config.train_config.TrainConfig` as JSON."""
    data, losses = _section(config, "data"), _section(_section(config, "objective"), "losses")
    shots, protocol = data.get("shots", 0), data.get("protocol")
    notes = []
    if protocol == "fine_tune":
        notes.append(
            f"The student was fine-tuned on the first {shots} images of every unseen label; these\n"
            "images are not measured."
        )
    if protocol == "retrieval":
        notes.append(
            "Retrieval adds to the text of a label the teacher's features of the label's first "
            f"{shots} images; these\nimages are not measured."
        )
    weight = losses.get("unseen")
    if isinstance(weight, int | float) and weight > 0:
        notes.append(
            "The training used the texts of the unseen labels, but none of their images. The accuracy on them is\n"
            "therefore higher than on labels whose texts were not used."
        )
    return "".join(f"\n\n{note}" for note in notes)


def _label_list(labels: Sequence[str]) -> str:
    shown = ", ".join(map(escape, labels[:NUM_SHOWN_LABELS]))
    num_more = len(labels) - NUM_SHOWN_LABELS
    return f"{shown} and {num_more:,} more." if num_more > 0 else f"{shown}."


def _crop_note(preprocess: StudentPreprocess) -> str:
    if preprocess["crop_pct"] == 1:
        return "Both libraries read the student's preprocessing from its folder."
    return (
        f"The accuracies above were measured on the central {preprocess['crop_pct']:.1%} of each image's side, which\n"
        "timm's transform crops. open_clip does not crop and uses the whole image: use timm's transform to reproduce\n"
        "the accuracies."
    )


def _shortened_note(num_shortened: int) -> str:
    if num_shortened == 0:
        return ""
    return f" {num_shortened:,} texts longer than the teacher's context were shortened or left out; the file lists all."


def _made_from_table(made_from: JSONObject) -> str:
    rows = [f"| {escape(name)} | {escape(value)} |" for name, value in _flatten(made_from)]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flatten(tree: JSONObject, prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as rows of dotted name and value."""
    rows: list[tuple[str, str]] = []
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)))
    return rows
