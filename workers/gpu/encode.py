"""The encode part: the teacher reads the job's texts; the text targets and what is known of the teacher are kept."""

from sqlalchemy.orm import Session

from distill.hooks import PipelineHooks
from distill.teacher.teacher import TeacherError
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import uses_name_only
from store import resources
from store.jobs.claims import Claim
from store.jobs.part_results import EncodeResult
from store.jobs.specs import DistillSpec, EncodeSpec, EvaluateSpec
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish
from workers.runtime.throughput import Rate


def encode(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part; its result names the text targets and the teacher."""
    spec = claim.job_spec
    assert isinstance(spec, EncodeSpec | DistillSpec | EvaluateSpec)
    texts = inputs.texts(context, spec)
    teacher = inputs.teacher(context, spec.teacher)
    rate = Rate()

    def on_progress(done: int, total: int, unit: str) -> None:
        keeper.progress(done, total, unit, rate(done))

    try:
        targets = encode_text_targets(
            teacher,
            texts.prompts,
            cache=context.settings.cache,
            hooks=PipelineHooks(on_progress=on_progress, should_stop=keeper.should_stop),
        )
    except TeacherError as error:
        raise PartFailed(error.code, str(error)) from error
    bare = [position for position, said in enumerate(texts.said) if uses_name_only(spec.text, said)]
    report = {
        "prompt": spec.prompt.model_dump(mode="json"),
        "truncated": [shortened._asdict() for shortened in targets.truncated],
        "without_attributes": len(bare),
        "without_attributes_positions": bare[:100],
    }
    if bare:
        keeper.note(
            f"{len(bare)} labels have nothing to say and go by name only", level="warning", positions=bare[:100]
        )
    if targets.truncated:
        keeper.note(f"{len(targets.truncated)} texts were too long for the teacher and shortened", level="warning")
    with inputs.scratch(context) as folder:
        targets.save(folder / "text_targets.safetensors")
        file = context.artefacts.put_file(
            folder / "text_targets.safetensors", f"{claim.place}/text_targets.safetensors"
        )
        teacher.save_tokenizer(folder / "tokenizer")
        tokenizer = context.artefacts.put_file(folder / "tokenizer" / "tokenizer.json", f"{claim.place}/tokenizer.json")

    def publish(tx: Session) -> EncodeResult:
        known = resources.put_teacher(
            tx,
            ref=spec.teacher,
            digest=teacher.digest,
            width=teacher.width,
            context_length=teacher.context_length,
            logit_scale=teacher.logit_scale,
            preprocess=teacher.preprocess,
            tokenizer_key=tokenizer.key,
        )
        made = resources.add_text_targets(
            tx,
            vocabulary_id=spec.vocabulary_id,
            attribute_set_id=spec.attribute_set_id,
            teacher_id=known.id,
            job_id=claim.job_id,
            text=spec.text,
            num_labels=len(texts.labels),
            width=teacher.width,
            report=report,
            file=file,
        )
        return EncodeResult(
            text_targets_id=made.id,
            teacher_id=known.id,
            num_truncated=len(targets.truncated),
            num_without_attributes=len(bare),
        )

    return publish
