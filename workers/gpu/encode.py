"""The encode part: the teacher encodes the texts of the labels; stores the text targets and facts about the teacher."""

from sqlalchemy.orm import Session

from distill.texts.text_bank import encode_banks
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import check_some_text, uses_name_only
from limbeck.shared.text import counted
from store import resources
from store.jobs.claims import Claim
from store.jobs.part_results import EncodeResult
from store.jobs.specs import DistillSpec, EncodeSpec, EvaluateSpec
from workers.gpu import inputs
from workers.gpu.pipeline_hooks import pipeline_errors, pipeline_hooks
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish


def encode(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part; its result names the text targets and the teacher."""
    spec = claim.job_spec
    assert isinstance(spec, EncodeSpec | DistillSpec | EvaluateSpec)
    lease.note("stage: texts", stage="texts")
    texts = inputs.texts(context, spec)
    with pipeline_errors():
        check_some_text(spec.text, texts.attributes)
    teacher = inputs.teacher(context, spec.teacher)
    with pipeline_errors():
        targets = encode_text_targets(teacher, texts.prompts, cache=context.settings.cache, hooks=pipeline_hooks(lease))
        if isinstance(spec, DistillSpec):  # the training finds them in the cache
            encode_banks(
                spec.config,
                teacher,
                texts.prompts,
                inputs.phrases(texts, spec),
                cache=context.settings.cache,
                hooks=pipeline_hooks(lease),
            )
    name_only = [
        position for position, attributes in enumerate(texts.attributes) if uses_name_only(spec.text, attributes)
    ]
    report = {
        "prompt": spec.prompt.model_dump(mode="json"),
        "truncated": [shortened._asdict() for shortened in targets.truncated],
        "without_attributes": len(name_only),
        "without_attributes_positions": name_only[:100],
        "teacher_weights": dict(teacher.weights),
    }
    lease.note(f"teacher {teacher.ref}: {teacher.origin}")
    for note in teacher.notes:
        lease.note(f"teacher {teacher.ref}: {note}", level="warning")
    _warn(lease, name_only, num_truncated=len(targets.truncated))
    with inputs.scratch(context, claim) as folder:
        targets.save(folder / "text_targets.safetensors")
        file = context.artefacts.put_file(
            folder / "text_targets.safetensors", f"{claim.place}/text_targets.safetensors"
        )
        teacher.save_tokenizer(folder / "tokenizer")
        tokenizer = context.artefacts.put_file(folder / "tokenizer" / "tokenizer.json", f"{claim.place}/tokenizer.json")

    def publish(tx: Session) -> EncodeResult:
        row = resources.put_teacher(
            tx,
            ref=spec.teacher,
            digest=teacher.digest,
            width=teacher.width,
            context_length=teacher.context_length,
            logit_scale=teacher.logit_scale,
            preprocess=teacher.preprocess,
            tokenizer_key=tokenizer.key,
        )
        stored = resources.add_text_targets(
            tx,
            vocabulary_id=spec.vocabulary_id,
            attribute_set_id=spec.attribute_set_id,
            teacher_id=row.id,
            job_id=claim.job_id,
            text=spec.text,
            num_labels=len(texts.labels),
            width=teacher.width,
            report=report,
            file=file,
        )
        return EncodeResult(
            text_targets_id=stored.id,
            teacher_id=row.id,
            num_truncated=len(targets.truncated),
            num_without_attributes=len(name_only),
        )

    return publish


def _warn(lease: LeaseRenewal, name_only: list[int], *, num_truncated: int) -> None:
    """Warnings about labels without attributes and about shortened texts, as events of the job."""
    if name_only:
        lease.note(
            f"{counted(len(name_only), 'label has', 'labels have')} no attributes for this text: only "
            "their names are encoded",
            level="warning",
            positions=name_only[:100],
        )
    if num_truncated:
        lease.note(
            f"{counted(num_truncated, 'text was', 'texts were')} longer than the context of the teacher "
            "and were shortened",
            level="warning",
        )
