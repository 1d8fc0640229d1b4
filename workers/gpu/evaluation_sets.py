"""The further sets of an evaluation, ready to be measured: other datasets, the closed-set baseline, outlier labels."""

from pathlib import Path

from torch import Tensor

from distill.data.dataset.trained_on import TrainedOn
from distill.evaluation.further import Baseline, FurtherSets
from distill.evaluation.named_images import NamedImages
from distill.hooks import PipelineHooks
from distill.student.saved_student import load_student
from distill.teacher.teacher import Teacher
from distill.texts.outliers import outlier_names, outlier_targets
from limbeck.shared.labels import written
from store import resources, vocabularies
from store.jobs import claims
from store.jobs.jobs import distill_spec
from store.jobs.part_results import TrainPartResult
from store.jobs.specs import EvaluateSpec
from store.sets import attribute_sets
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.errors import PartError


def further_sets(
    context: Context,
    spec: EvaluateSpec,
    folder: Path,
    *,
    teacher: Teacher | None,
    learned: Tensor | None,
    second_stop: bool,
    trained_on: TrainedOn,
    hooks: PipelineHooks,
) -> FurtherSets:
    """What the job measures beside the accuracies of its student. `teacher`: needed for outlier labels.

    `learned` (M, W): the vectors before the texts of the student's labels, and so before those of outlier labels.
    Raises PartError for a dataset or a baseline that is not there any more.
    """
    outliers = None
    if spec.outlier_set_id is not None:
        assert teacher is not None
        names = look_alikes(context, spec.outlier_set_id, spec.vocabulary_id)
        if not names:
            message = f"{spec.outlier_set_id} has no outlier label: enrich the vocabulary by the strategy outliers"
            raise PartError("no_outliers", message)
        outliers = outlier_targets(
            teacher,
            names,
            spec.prompt,
            learned=learned,
            second_stop=second_stop,
            cache=context.settings.cache,
            hooks=hooks,
        ).features
    return FurtherSets(
        domains=[_images(context, id, folder) for id in spec.domain_dataset_ids],
        far=None if spec.far_dataset_id is None else _images(context, spec.far_dataset_id, folder),
        corruption_images=spec.corruption_images,
        baseline=None if spec.baseline_job_id is None else _baseline(context, spec.baseline_job_id, folder),
        outliers=outliers,
        trained_on=trained_on,
    )


def _images(context: Context, dataset_id: str, folder: Path) -> NamedImages:
    """A dataset under its name."""
    own = folder / dataset_id
    own.mkdir(exist_ok=True)
    images = inputs.images(context, dataset_id, own)
    with context.db.read() as tx:
        name = resources.dataset(tx, dataset_id).name
    return NamedImages(name=name, image_index=images.image_index, root=images.root)


def _baseline(context: Context, job_id: str, folder: Path) -> Baseline:
    """The closed-set classifier that a distill job trained. Its outputs are the seen labels of its dataset."""
    with context.db.read() as tx:
        spec = distill_spec(tx, job_id)
        trained = claims.result_of_job(tx, job_id, TrainPartResult)
    if trained is None or "student" not in trained.files:
        raise PartError("baseline_missing", f"job {job_id} keeps no trained classifier: train the baseline again")
    index = _images(context, spec.dataset_id, folder).image_index
    path = folder / "baseline.safetensors"
    context.artefacts.get_file(trained.files["student"], path)
    student = load_student(
        path,
        spec.config.student,
        width=len(index.id_labels),
        seed=spec.config.system.seed,
        root=context.settings.data,
        background=spec.config.data.background,
    )
    return Baseline(student=student, labels=tuple(index.labels[label] for label in index.id_labels))


def look_alikes(context: Context, set_id: str, vocabulary_id: str) -> list[str]:
    """The look-alikes that an attribute set names, each once, without those that are labels of the vocabulary."""
    with context.db.read() as tx:
        entries = attribute_sets.entries(tx, set_id)
        labels = [written(label.name, label.sense) for label in vocabularies.labels(tx, vocabulary_id)]
    return outlier_names((line for entry in entries if entry for line in entry.lines), labels)
