"""The check part with a teacher: the gates, and whether the set brings labels nearer together than their names are."""

from collections.abc import Sequence

from attributes.gates.margins import Margins
from attributes.gates.token_lengths import token_counter_from_file
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher, TeacherError
from distill.texts.separation import Separation, separation
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import render
from store.jobs.claims import Claim
from store.jobs.specs import CheckSpec
from workers.enrich import gates
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish


def check_with_teacher(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part."""
    spec = claim.job(CheckSpec)
    ref = spec.teacher or ""
    teacher = inputs.teacher(context, ref)
    texts = inputs.texts(context, spec)
    names = [render("names", label, said, spec.prompt) for label, said in zip(texts.labels, texts.said, strict=True)]
    before, after = (_separation(context, teacher, prompts, keeper) for prompts in (names, texts.prompts))
    margins = Margins(
        before=before.margin.numpy(),
        after=after.margin.numpy(),
        nearest_before=before.nearest.numpy(),
        nearest_after=after.nearest.numpy(),
        teacher=f'{ref}, texts "{spec.text}"',
    )
    with inputs.scratch(context) as folder:
        teacher.save_tokenizer(folder)
        name = f"{ref}, context {teacher.context_length}"
        tokens = token_counter_from_file((folder / "tokenizer.json").read_bytes(), teacher.context_length, name)
    found = gates.judge_set(context, claim, keeper, teacher=ref, tokens=tokens, margins=margins)
    return lambda tx: gates.publish_check(tx, claim, found)


def _separation(context: Context, teacher: Teacher, prompts: Sequence[tuple[str, ...]], keeper: Keeper) -> Separation:
    try:
        targets = encode_text_targets(
            teacher,
            prompts,
            cache=context.settings.cache,
            hooks=PipelineHooks(on_progress=keeper.progress, should_stop=keeper.should_stop),
        )
    except TeacherError as error:
        raise PartFailed(error.code, str(error)) from error
    return separation(targets.features.to(inputs.device()))
