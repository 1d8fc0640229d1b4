"""The model card of a bundle: description, accuracy, weaknesses, usage, settings, inputs and licence of a student.

`model_card.md` is the template, without the header (`distill.bundle.card.header`). A module for each long section:
`card_metrics`, `card_weaknesses`, `card_usage`, `card_settings` and `card_license`. All texts of people and language
models are escaped (`card_facts.escape`).
"""

import string
from collections.abc import Iterable, Sequence
from pathlib import Path

from distill.bundle.card.facts import CardFacts, escape, input_digests, section, share, table, text_title
from distill.bundle.card.further import further_markdown
from distill.bundle.card.header import card_header
from distill.bundle.card.license import derive_license
from distill.bundle.card.metrics import PART_NAMES, last_epochs_sentence, measured_parts, metrics_markdown
from distill.bundle.card.multi_label.markdown import MEASURE, precision_markdown, threshold_markdown
from distill.bundle.card.settings import settings_markdown
from distill.bundle.card.usage import usage_markdown
from distill.bundle.card.weaknesses import weaknesses_markdown
from distill.json_types import EvaluatedPart, EvaluationJSON, JSONObject, MultiLabelJSON, StudentEvaluation
from limbeck.shared.text import counted

TEMPLATE_FILE = Path(__file__).with_name("model_card.md")
NUM_SHOWN_LABELS = 8

PLOTS = """\
![Accuracy of each label](accuracy.png)

![Confidence and accuracy](reliability.png)

![Most frequent confusions](confusions.png)

![Training loss](loss.png)"""
MULTI_LABEL_PLOTS = """\
![Average precision of each label](accuracy.png)

![Training loss](loss.png)"""
PER_CLASS = "Mean per-class accuracy. Each part is classified among its own labels only."
NO_PLOTS = "The plots could not be drawn: {reason}."


def model_card(facts: CardFacts) -> str:
    """The model card in Markdown."""
    height, width = facts.preprocess["size"]
    initial = section(facts.made_from, "initial_weights")
    stated = section(section(facts.made_from, "config"), "bundle").get("license")
    several = facts.evaluation.get("multi_label")
    plots = PLOTS if several is None else MULTI_LABEL_PLOTS
    licence = derive_license(stated if isinstance(stated, str) else None, initial, facts.teacher)
    body = string.Template(TEMPLATE_FILE.read_text(encoding="utf-8")).substitute(
        student=facts.student,
        teacher=escape(facts.teacher),
        width=facts.width,
        parameters=f"{facts.num_parameters:,}",
        height=height,
        image_width=width,
        mode=facts.preprocess.get("mode", "RGB"),
        initial=_initial_weights(initial),
        text=text_title(facts.evaluation),
        num_labels=f"{len(facts.labels):,}",
        measure=PER_CLASS if several is None else MEASURE,
        accuracy=_accuracy_table(facts.evaluation) + _unseen_label_notes(section(facts.made_from, "config")),
        metrics=metrics_markdown(facts.evaluation) if several is None else _precisions(facts.evaluation, several),
        plots=NO_PLOTS.format(reason=escape(facts.left_out["plots"])) if "plots" in facts.left_out else plots,
        further=further_markdown(facts.evaluation, has_plots="plots" not in facts.left_out),
        weaknesses=weaknesses_markdown(facts),
        usage=usage_markdown(facts),
        labels=_label_list(facts.labels),
        shortened=_shortened_note(facts.num_shortened),
        settings=settings_markdown(facts.made_from),
        inputs=_inputs_table(facts.made_from),
        licence=licence.paragraph(str(initial.get("source", "not recorded")), facts.teacher),
    )
    return f"{card_header(facts, licence)}\n{body}"


def _precisions(evaluation: StudentEvaluation, several: MultiLabelJSON) -> str:
    last = last_epochs_sentence(evaluation.get("last_epochs"), has_several_labels=True)
    return "\n\n".join((threshold_markdown(several), *last))


def _initial_weights(initial: JSONObject) -> str:
    """The start of the training, with the licence of published weights; `initial`: `InitialWeightsJSON`."""
    if "file" not in initial:
        return escape(str(initial.get("source", "not recorded")))
    licence = f"licence {initial['license']}" if initial.get("license") else "licence unknown"
    return escape(f"{initial['source']} ({initial['file']}), {licence}")


def _accuracy_table(evaluation: StudentEvaluation) -> str:
    if several := evaluation.get("multi_label"):
        return precision_markdown(evaluation, several)
    measured = {name: part for name in PART_NAMES if (part := evaluation.get(name))}
    if not measured:
        return "The student was not evaluated."
    rows = [["", "texts", *measured_parts(evaluation)], _accuracy_row("**student**", evaluation, measured)]
    rows += [_accuracy_row("teacher", one, measured) for one in evaluation.get("teacher") or ()]
    if retrieval := evaluation.get("retrieval"):
        cells = (share(retrieval["accuracy"]) if name == "ood" else "" for name in measured)
        rows.append(["**student**, with retrieval", text_title(evaluation), *cells])
    parts = measured.values()
    rows.append(["chance", "", *(share(part["chance"]) for part in parts)])
    rows.append(["labels", "", *(f"{part['num_labels']:,}" for part in parts)])
    rows.append(["images", "", *(f"{part['num_images']:,}" for part in parts)])
    return table(rows)


def _accuracy_row(name: str, evaluation: EvaluationJSON, measured: Iterable[EvaluatedPart]) -> list[str]:
    results = (evaluation.get(part) for part in measured)
    return [name, text_title(evaluation), *(share(result["accuracy"]) if result else "" for result in results)]


def _unseen_label_notes(config: JSONObject) -> str:
    """What the training used of the unseen labels; `config`: `distill.config.train_config.TrainConfig` as JSON."""
    data, losses = section(config, "data"), section(section(config, "objective"), "losses")
    shots, protocol = data.get("shots"), data.get("protocol")
    images = counted(shots if isinstance(shots, int) else 0, "image")
    notes = []
    if protocol == "fine_tune":
        notes.append(
            f"The student was fine-tuned on the first {images} of every unseen label; these\nimages are not measured."
        )
    if protocol == "retrieval":
        notes.append(
            "Retrieval adds to the text of a label the teacher's features of the label's first "
            f"{images}; these\nimages are not measured."
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


def _shortened_note(num_shortened: int) -> str:
    if num_shortened == 0:
        return ""
    too_long = "longer than the teacher's context"
    shortened = counted(num_shortened, f"text {too_long} was", f"texts {too_long} were")
    return f" {shortened} shortened or left out; the file lists all."


def _inputs_table(made_from: JSONObject) -> str:
    """Every input with its digest, and the versions of the libraries."""
    rows = [["input", "id", "digest"]]
    rows += [[escape(row.kind), escape(row.name), f"`{escape(row.digest)}`"] for row in input_digests(made_from)]
    versions = section(made_from, "versions")
    shown = ", ".join(f"{escape(name)} {escape(str(version))}" for name, version in sorted(versions.items()))
    return table(rows) + (f"\n\nWritten with {shown}." if shown else "")
