"""Evaluates the student of a bundle for checked arguments; called by `python -m distill evaluate`."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from distill.bundle.add_further import EVALUATION, save_further
from distill.bundle.card.facts import plain
from distill.bundle.card.further import further_markdown
from distill.cli.classifier import load_classifier
from distill.cli.commands.evaluate_arguments import EvaluateArguments
from distill.cli.console import Console
from distill.cli.report import accuracy_table
from distill.data.atomic_files import write_bytes
from distill.evaluation.further import FurtherSets
from distill.hooks import PipelineHooks
from distill.json_types import JSONObject, ModelEvaluation, StudentEvaluation
from distill.pipeline import MeasureOptions, measure_student, measure_teacher, unseen_images
from distill.student.init_from_bundle import TARGETS
from distill.student.saved_student import load_bundled_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.outliers import outlier_targets
from distill.texts.student_texts import targets_with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, render
from distill.training.device import choose_device
from limbeck.shared.images.background import WHITE
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.text import counted

PUBLISHED_TEMPERATURE = 0.07


def run_evaluation(arguments: EvaluateArguments, *, should_stop: Callable[[], bool]) -> None:
    """Measure the student, and the teacher if one is given; prints the table of accuracies.

    Raises ValueError for a teacher that is not the bundle's, Stopped, and the errors of the steps.
    """
    console = Console(sys.stderr)
    hooks = PipelineHooks(
        on_progress=console.progress,
        should_stop=should_stop,
        on_bad_image=lambda path, reason: console.message(f"left out {shown_path(path)}: {reason}"),
        on_note=console.message,
    )
    for note in arguments.notes:
        console.message(note)
    device = str(choose_device(arguments.device))
    teacher = None if arguments.teacher is None else load_teacher(arguments.teacher, device=device)
    _check_teacher(arguments, teacher)
    text, targets = _targets(arguments, teacher, console, hooks)
    outliers = outlier_texts(arguments, teacher, console, hooks)
    console.begin("measuring the student")
    image_index, num_trained = unseen_images(
        arguments.trained_on, arguments.image_index, cache=arguments.cache, hooks=hooks
    )
    if arguments.trained_on.images is None:
        console.message("the bundle does not record its training images: make sure that none is measured")
    if num_trained:
        console.message(f"{counted(num_trained, 'image is', 'images are')} left out: the student was trained on them")
    background = arguments.manifest["student"]["preprocess"].get("background", WHITE)
    student = measure_student(
        load_bundled_student(arguments.bundle / "image", background),
        image_index,
        targets,
        text,
        MeasureOptions(
            temperature=_temperature(arguments),
            device=arguments.device,
            further=further_sets(arguments, None if outliers is None else outliers.features),
        ),
        cache=arguments.cache,
        teacher=teacher,
        hooks=hooks,
    )
    student = replace(student, num_training_images=num_trained)
    evaluation: ModelEvaluation = {"run": arguments.manifest["student"]["name"], **student.as_json()}
    teachers: list[ModelEvaluation] = []
    if teacher is not None:
        console.begin("measuring the teacher")
        baseline = measure_teacher(
            teacher, image_index, targets, text, cache=arguments.cache, background=background, hooks=hooks
        )
        teachers.append({"run": teacher.ref, **baseline.as_json()})
    if arguments.json_file is not None:
        found = {"student": evaluation, "teacher": teachers}
        write_bytes(arguments.json_file, (json.dumps(found, indent=2) + "\n").encode())
    print(accuracy_table(teachers, evaluation))
    if arguments.has_further_sets:
        print(f"\n{plain(further_markdown(evaluation, has_plots=False))}")
    if arguments.save:
        by_score = student.as_json().get("none_of_these_by_score", {})
        for name in save_further(arguments.bundle, arguments.manifest, student.further, by_score, outliers):
            console.message(f"wrote {arguments.bundle / name}")


def outlier_texts(
    arguments: EvaluateArguments, teacher: Teacher | None, console: Console, hooks: PipelineHooks
) -> TextTargets | None:
    """The texts of outlier labels, as names with the learned vectors of the bundle; None without such labels."""
    if not arguments.outliers:
        return None
    console.begin("outlier labels")
    encoder = teacher or load_teacher(f"local-dir:{arguments.bundle / 'pairing'}")
    stored = TextTargets.load(arguments.bundle / TARGETS)
    return outlier_targets(
        encoder,
        arguments.outliers,
        arguments.prompt,
        learned=stored.context,
        second_stop=stored.second_stop,
        cache=arguments.cache,
        hooks=hooks,
    )


def further_sets(arguments: EvaluateArguments, outliers: Tensor | None) -> FurtherSets:
    """What is measured beside the accuracies. `outliers` (M, D): text features of outlier labels."""
    return FurtherSets(
        domains=arguments.domains,
        far=arguments.far,
        corruption_images=arguments.corruption_images,
        baseline=None if arguments.baseline is None else load_classifier(arguments.baseline),
        outliers=outliers,
        threshold=None if arguments.given else _threshold(arguments),
        trained_on=arguments.trained_on,
    )


def _check_teacher(arguments: EvaluateArguments, teacher: Teacher | None) -> None:
    """A student is aligned with the texts of the teacher that it was distilled from."""
    of_bundle = arguments.manifest["made_from"]["teacher"]
    if teacher is not None and teacher.digest != of_bundle["digest"]:
        raise ValueError(
            f"the student was distilled from {of_bundle['ref']} ({of_bundle['digest'][:12]}), and --teacher is "
            f"{teacher.ref} ({teacher.digest[:12]}): give the same"
        )


def _targets(
    arguments: EvaluateArguments, teacher: Teacher | None, console: Console, hooks: PipelineHooks
) -> tuple[TextKind, TextTargets]:
    """The text targets of the given labels, with the learned vectors of the bundle; else those of the bundle."""
    stored = TextTargets.load(arguments.bundle / TARGETS)
    if arguments.given is None:
        text: TextKind = _recorded(arguments)["text"]  # type: ignore[assignment]  # of a verified bundle
        return text, stored
    encoder = teacher or load_teacher(f"local-dir:{arguments.bundle / 'pairing'}")
    console.begin(f"texts ({arguments.text})")
    prompts = [
        render(arguments.text, name, LabelAttributes.of_lines(lines), arguments.prompt)
        for name, lines in zip(arguments.given.names, arguments.given.lines, strict=True)
    ]
    targets = encode_text_targets(encoder, prompts, cache=arguments.cache, hooks=hooks)
    return arguments.text, targets_with_context(encoder, targets, stored.context, second_stop=stored.second_stop)


def _threshold(arguments: EvaluateArguments) -> float | None:
    """The threshold for "none of these" that the bundle has, for its own labels and texts."""
    found = _recorded(arguments).get("none_of_these")
    return None if found is None else found["threshold"]


def _recorded(arguments: EvaluateArguments) -> StudentEvaluation:
    """The evaluation that the bundle has."""
    recorded: StudentEvaluation = json.loads((arguments.bundle / EVALUATION).read_text(encoding="utf-8"))
    return recorded


def _temperature(arguments: EvaluateArguments) -> float:
    """The temperature of the training, for the confidence; older bundles have a config without sections."""
    made_from: JSONObject = arguments.manifest["made_from"]  # type: ignore[assignment]
    config = made_from.get("config", {})
    objective = config.get("objective", config) if isinstance(config, dict) else {}
    value = objective.get("temperature", PUBLISHED_TEMPERATURE) if isinstance(objective, dict) else None
    return float(value) if isinstance(value, int | float) else PUBLISHED_TEMPERATURE
