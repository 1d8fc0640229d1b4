"""The evaluate part: evaluates a student or a teacher; in a distill job, publishes the trained student as a bundle."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from sqlalchemy.orm import Session
from torch import Tensor

from distill.bundle.onnx.files import OnnxInputs
from distill.bundle.verify import MANIFEST_FILE
from distill.bundle.write import WrittenBundle, write_bundle
from distill.config.automatic import with_chosen
from distill.config.train_config import TrainConfig
from distill.data.dataset.trained_on import IMAGES_FILE, LABELS_FILE, TrainedOn, read_trained_on
from distill.evaluation.accuracy import TEMPERATURE, Evaluation, last_epochs
from distill.evaluation.further import FurtherSets, of_training
from distill.evaluation.onnx_inputs import OnnxImages
from distill.evaluation.samples import Predicted, sample_predictions, save_samples
from distill.hooks import PipelineHooks
from distill.json_types import StudentEvaluation
from distill.pipeline import (
    MeasureOptions,
    bundle_weights,
    measure_student,
    measure_teacher,
    training_contents,
    unseen_images,
)
from distill.student.init_from_bundle import CONFIG, TARGETS, WEIGHTS
from distill.student.model import Student
from distill.student.saved_student import load_bundled_student, load_student
from distill.teacher.teacher import Teacher
from distill.texts.outliers import outlier_targets
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_targets import TextTargets
from limbeck.shared.images.background import WHITE
from limbeck.shared.text import counted
from store import resources
from store.blobs import reading
from store.blobs.writing import store_files
from store.ids import new_id
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.jobs import distill_spec
from store.jobs.part_results import EvaluateResult, TrainPartResult
from store.jobs.specs import CheckpointSubject, DistillSpec, EvaluateSpec
from store.models import Checkpoint
from workers.gpu import inputs
from workers.gpu.evaluation_sets import further_sets, look_alikes
from workers.gpu.features import fetch_features
from workers.gpu.pipeline_hooks import pipeline_errors, pipeline_hooks
from workers.gpu.training.run_log import open_run_log
from workers.runtime.context import Context
from workers.runtime.errors import PartError
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

RETRY_S = 30.0
SAMPLES = "samples.jsonl"


def evaluate(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part; its result holds the evaluation, and the checkpoint if one is published."""
    with _student_kept(context, claim), inputs.scratch(context, claim) as folder, pipeline_errors():
        return _EvaluationRun(context, claim, lease, folder).run()


@contextmanager
def _student_kept(context: Context, claim: Claim) -> Iterator[None]:
    """After a training, retry what ends the part, and say where the trained weights are.

    The train part had the same teacher, images and disk, so that what is missing may come back.
    """
    with context.db.read() as tx:
        trained = claims.result_of(tx, claim, TrainPartResult)
    try:
        yield
    except (PartError, OSError) as error:
        if trained is None:
            raise
        code = error.code if isinstance(error, PartError) else "internal_error"
        message = f"{error} (the trained weights are kept as the artefact {trained.files['student']})"
        raise PartError(code, message, retry_in_s=RETRY_S) from error


class _EvaluationRun:
    """One attempt of the part, with its inputs."""

    def __init__(self, context: Context, claim: Claim, lease: LeaseRenewal, folder: Path) -> None:
        self.context, self.claim, self.lease, self.folder = context, claim, lease, folder
        spec = claim.job_spec
        assert isinstance(spec, DistillSpec | EvaluateSpec)
        self.spec: DistillSpec | EvaluateSpec = spec
        self.images = inputs.images(context, spec.dataset_id, folder)
        self.targets: TextTargets
        self.targets, self.encoded = inputs.targets(context, claim, folder)
        self.image_index = self.images.image_index
        self.hooks: PipelineHooks = pipeline_hooks(lease)

    def run(self) -> Publish:
        self.lease.begin("evaluation")
        fetch_features(self.context, self.claim, self.lease, views=["center"])
        if isinstance(self.spec, DistillSpec):
            return self._publish_student(self.spec)
        subject = self.spec.subject
        if isinstance(subject, CheckpointSubject):
            measured = self._measure_checkpoint(subject.checkpoint_id, shots=self.spec.shots)
        else:
            measured = self._measure_teacher(self._load_teacher(), self.targets, shots=0, background=WHITE)
        result = EvaluateResult(evaluation=measured.as_json(), num_bad_images=len(self.hooks.bad_images))
        return lambda _tx: result

    def _load_teacher(self) -> Teacher:
        return inputs.teacher(self.context, self.spec.teacher)

    def _measure_student(
        self,
        student: Student,
        config: TrainConfig,
        teacher: Teacher | None,
        *,
        shots: int,
        retrieve: bool,
        further: FurtherSets | None = None,
        on_predicted: Callable[[Predicted], None] | None = None,
    ) -> Evaluation:
        is_closed_set = config.data.protocol == "closed_set"
        return measure_student(
            student,
            self.image_index,
            self.targets,
            self.spec.text,
            MeasureOptions(
                temperature=config.objective.temperature,
                shots=shots,
                retrieve=retrieve,
                further=None if is_closed_set else further or FurtherSets(),
                device=config.system.device,
                num_workers=config.system.num_workers,
            ),
            cache=self.context.settings.cache,
            teacher=None if is_closed_set else teacher,
            root=self.images.root,
            on_predicted=on_predicted,
            hooks=self.hooks,
        )

    def _measure_teacher(self, teacher: Teacher, targets: TextTargets, *, shots: int, background: str) -> Evaluation:
        return measure_teacher(
            teacher,
            self.images.image_index,
            targets,
            self.spec.text,
            cache=self.context.settings.cache,
            root=self.images.root,
            shots=shots,
            background=background,
            hooks=self.hooks,
        )

    def _measure_checkpoint(self, checkpoint_id: str, *, shots: int) -> Evaluation:
        """Evaluate a published student with its learned vectors, on images that it was not trained on.

        Its labels are seen or unseen by what it was trained on, whatever the split of the dataset.
        """
        with self.context.db.read() as tx:
            checkpoint = resources.checkpoint(tx, checkpoint_id)
            files = {
                path: reading.content_of(tx, resources.checkpoint_file(tx, checkpoint_id, path))
                for path in (CONFIG, WEIGHTS, TARGETS)
            }
            config = distill_spec(tx, checkpoint.job_id).config
            own, given = (resources.teacher(tx, id) for id in (checkpoint.teacher_id, self.encoded.teacher_id))
        if own.digest != given.digest:
            message = (
                f"the student was distilled from weights {own.digest[:12]}, and {self.spec.teacher} now has "
                f"{given.digest[:12]}: restore the teacher's weights, or distil again"
            )
            raise PartError("teacher_changed", message)
        for path, content in files.items():
            reading.get_file(self.context.artefacts, content, self.folder / "checkpoint" / path)
        context = TextTargets.load(self.folder / "checkpoint" / TARGETS).context
        retrieve = shots > 0
        assert isinstance(self.spec, EvaluateSpec)
        needs_teacher = retrieve or context is not None or self.spec.outlier_set_id is not None
        teacher = self._load_teacher() if needs_teacher else None
        self.image_index, self.targets = evaluation_inputs(config, self.image_index, teacher, self.targets, context)
        trained_on = self._trained_on(checkpoint_id, config)
        # The few-shot images of a fine-tuned student are the first of each unseen label, and the support of retrieval.
        # Without retrieval they are left out because the student was trained on them.
        is_tuned = config.data.protocol == "fine_tune"
        if retrieve or not is_tuned or trained_on.images is None:
            shots = max(config.data.shots, shots)
        self.image_index, num_trained = unseen_images(
            trained_on,
            self.image_index,
            cache=self.context.settings.cache,
            root=self.images.root,
            num_workers=config.system.num_workers,
            keep_few_shot=retrieve and is_tuned,
            hooks=self.hooks,
        )
        if num_trained:
            self.lease.note(
                f"{counted(num_trained, 'image is', 'images are')} left out: the student was trained on them",
                level="warning",
            )
        student = load_bundled_student((self.folder / "checkpoint" / WEIGHTS).parent, config.data.background)
        further = further_sets(
            self.context,
            self.spec,
            self.folder,
            teacher=teacher,
            learned=context,
            second_stop=config.objective.second_stop,
            trained_on=trained_on,
            hooks=self.hooks,
        )
        measured = self._measure_student(student, config, teacher, shots=shots, retrieve=retrieve, further=further)
        return replace(measured, num_training_images=num_trained)

    def _trained_on(self, checkpoint_id: str, config: TrainConfig) -> TrainedOn:
        """The labels and images that a published student was trained on."""
        folder = self.folder / "trained_on"
        with self.context.db.read() as tx:
            dataset_id = resources.checkpoint(tx, checkpoint_id).dataset_id
            files = reading.contents(tx, checkpoint_id, (LABELS_FILE, IMAGES_FILE))
        for path, content in files.items():
            reading.get_file(self.context.artefacts, content, folder / path)
        trained_on = read_trained_on(folder)
        if trained_on.images is not None:
            return trained_on
        # A checkpoint of an earlier release: its training images are those that its own dataset holds now.
        try:
            own = inputs.images(self.context, dataset_id, folder)
        except PartError as error:
            note = f"the training images of this student are unknown, and may be among the measured ones: {error}"
            self.lease.note(note, level="warning")
            return trained_on
        images = training_contents(
            config,
            own.image_index,
            cache=self.context.settings.cache,
            root=own.root,
            num_workers=config.system.num_workers,
            hooks=self.hooks,
        )
        return replace(trained_on, images=images)

    def _train_result(self) -> TrainPartResult:
        with self.context.db.read() as tx:
            result = claims.result_of(tx, self.claim, TrainPartResult)
        if result is None:
            raise PartError("no_student", "the job has no train part that succeeded")
        return result

    def _learned_context(self, files: Mapping[str, str]) -> Tensor | None:
        """The vectors (M, W) that the train part learned; None without prompt learning."""
        key = files.get("context")
        if key is None:
            return None
        self.context.artefacts.get_file(key, self.folder / "context.safetensors")
        return load_file(self.folder / "context.safetensors")["context"]

    def _training_images(self, files: Mapping[str, str]) -> Path | None:
        """The record of training images; None if an earlier release trained the student."""
        key = files.get("training_images")
        if key is None:
            return None
        self.context.artefacts.get_file(key, self.folder / IMAGES_FILE)
        return self.folder / IMAGES_FILE

    def _load_student(self, config: TrainConfig, weights_key: str) -> Student:
        path = self.folder / "student.safetensors"
        self.context.artefacts.get_file(weights_key, path)
        return load_student(
            path,
            config.student,
            width=self.targets.features.shape[1],
            seed=config.system.seed,
            root=self.context.settings.data,
            background=config.data.background,
        )

    def _publish_student(self, spec: DistillSpec) -> Publish:
        """Evaluate the trained student and its teacher, then publish the student as a checkpoint."""
        trained = self._train_result()
        config = with_chosen(spec.config, trained.chosen)
        spec = spec.model_copy(update={"config": config})
        teacher, teacher_targets = self._load_teacher(), self.targets
        self.image_index, self.targets = evaluation_inputs(
            config, self.image_index, teacher, self.targets, self._learned_context(trained.files)
        )
        student = self._load_student(config, trained.files["student"])
        outliers = self._look_alikes(spec, teacher)
        log_path = self.folder / "training.jsonl"
        self.context.artefacts.get_file(trained.files["training_log"], log_path)
        log = [json.loads(line) for line in log_path.read_text(encoding="utf-8").splitlines()]
        measured = replace(
            self._measure_student(
                student,
                config,
                teacher,
                shots=config.data.shots,
                retrieve=config.data.protocol == "retrieval",
                further=of_training(outliers),
                on_predicted=self._save_samples,
            ),
            last_epochs=last_epochs(log, config.evaluation.measured_epochs),
        )
        # After the student: its pass over the images has stored the teacher's features too.
        baseline = self._measure_teacher(
            teacher, teacher_targets, shots=config.data.shots, background=config.data.background
        )
        evaluation: StudentEvaluation = {
            **measured.as_json(),
            "teacher": [{"run": self.spec.teacher, **baseline.as_json()}],
        }
        with open_run_log(self.context, self.claim, self.lease, spec, teacher_digest=teacher.digest) as run_log:
            run_log.evaluation(evaluation, step=trained.num_steps)
        num_bad_images = trained.num_bad_images + len(self.hooks.bad_images)
        if config.data.protocol == "closed_set":
            # The closed-set baseline has no text features: it cannot be paired with a teacher, so it has no bundle.
            return lambda _tx: EvaluateResult(evaluation=evaluation, num_bad_images=num_bad_images)
        self.lease.begin("bundle")
        bundle = self._write_bundle(student, teacher, evaluation, spec, log_path, trained, outliers)
        return self._publish_checkpoint(spec, bundle, num_bad_images)

    def _look_alikes(self, spec: DistillSpec, teacher: Teacher) -> TextTargets | None:
        """The text features of the look-alikes that the attribute set names; None without any."""
        is_judged = spec.config.data.protocol != "closed_set" and not self.image_index.is_multi_label
        if spec.attribute_set_id is None or not is_judged:
            return None
        names = look_alikes(self.context, spec.attribute_set_id, spec.vocabulary_id)
        if not names:
            return None
        return outlier_targets(
            teacher,
            names,
            spec.prompt,
            learned=self.targets.context,
            second_stop=spec.config.objective.second_stop,
            cache=self.context.settings.cache,
            hooks=self.hooks,
        )

    def _save_samples(self, predicted: Predicted) -> None:
        """Keep some images of each label with what the student took them for."""
        temperature = self.spec.config.objective.temperature if isinstance(self.spec, DistillSpec) else TEMPERATURE
        names = self.image_index.labels
        samples = sample_predictions(predicted, self.targets.features, names, temperature=temperature)
        save_samples(self.folder / SAMPLES, samples)

    def _publish_checkpoint(self, spec: DistillSpec, bundle: WrittenBundle, num_bad_images: int) -> Publish:
        """Upload the bundle, and publish it as a checkpoint when the part ends."""
        evaluation = bundle.evaluation
        stored = store_files(
            self.context.db,
            self.context.artefacts,
            [(path, self.folder / "bundle" / path) for path, _, _ in bundle.files],
            place=self.claim.place,
            on_file=lambda number: self.lease.progress(number, len(bundle.files), "files"),
        )
        samples = self.folder / SAMPLES
        samples_key = None
        if samples.exists():  # not of a student that was trained on all images
            samples_key = self.context.artefacts.put_file(samples, f"{self.claim.place}/{SAMPLES}").key
        digest = next(sha256 for path, sha256, _ in bundle.files if path == MANIFEST_FILE)
        checkpoint_id = new_id("ckp")

        def publish(tx: Session) -> EvaluateResult:
            resources.add_checkpoint(
                tx,
                Checkpoint(
                    id=checkpoint_id,
                    job_id=self.claim.job_id,
                    dataset_id=spec.dataset_id,
                    vocabulary_id=spec.vocabulary_id,
                    attribute_set_id=spec.attribute_set_id,
                    text_targets_id=self.encoded.text_targets_id,
                    teacher_id=self.encoded.teacher_id,
                    student=spec.config.student.architecture,
                    text=self.spec.text,
                    evaluation=evaluation,
                    digest=digest,
                    samples_key=samples_key,
                ),
                files=stored,
            )
            return EvaluateResult(
                checkpoint_id=checkpoint_id,
                evaluation=evaluation,
                num_bad_images=num_bad_images,
                **({"left_out": dict(bundle.left_out)} if bundle.left_out else {}),
            )

        return publish

    def _write_bundle(
        self,
        student: Student,
        teacher: Teacher,
        evaluation: StudentEvaluation,
        spec: DistillSpec,
        log_path: Path,
        trained: TrainPartResult,
        outliers: TextTargets | None,
    ) -> WrittenBundle:
        """Write the bundle into the scratch folder, and report the parts that it lacks."""
        written = write_bundle(
            self.folder / "bundle",
            student=bundle_weights(student),
            teacher=teacher,
            targets=self.targets,
            labels=inputs.bundle_labels(self.context, spec, self.images.image_index),
            evaluation=evaluation,
            training_log=log_path,
            training_images=self._training_images(trained.files),
            outliers=outliers,
            provenance=inputs.provenance(
                self.context, self.claim, spec, student, text_targets_id=self.encoded.text_targets_id
            ),
            onnx=self._onnx_inputs(student, teacher, spec) if spec.config.bundle.onnx else None,
            left_out=trained.left_out,
        )
        for part, reason in written.left_out.items():
            self.lease.note(f"the checkpoint has no {part}: {reason}", level="warning", part=part, reason=reason)
        return written

    def _onnx_inputs(self, student: Student, teacher: Teacher, spec: DistillSpec) -> OnnxInputs:
        images = OnnxImages(
            student=student,
            image_index=self.image_index,
            targets=self.targets,
            cache=self.context.settings.cache,
            shots=spec.config.data.shots,
            root=self.images.root,
            num_workers=spec.config.system.num_workers,
            hooks=self.hooks,
        )
        text = teacher if spec.config.bundle.text_onnx else None
        return images.inputs(spec.prompt, spec.config.objective.temperature, text)
