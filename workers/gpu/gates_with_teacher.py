"""The check part with a teacher: the gates, and whether the set brings labels nearer together than their names are."""

from collections.abc import Sequence

from attributes.gates.margins import Margins
from attributes.gates.token_lengths import token_counter_from_file
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher, TeacherError
from distill.texts.separation import Separation, separation
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import PromptOptions, render
from store.jobs.lifecycle import Claim
from workers.enrich import gates
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish


def check_with_teacher(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part."""
    spec = claim.job_spec
    teacher = inputs.teacher(context, spec["teacher"])
    texts = inputs.texts(context, spec)
    prompt = PromptOptions.model_validate(spec["prompt"])
    names = [render("names", label, said, prompt) for label, said in zip(texts.labels, texts.said, strict=True)]
    before, after = (_separation(context, teacher, prompts, keeper) for prompts in (names, texts.prompts))
    margins = Margins(
        before=before.margin.numpy(),
        after=after.margin.numpy(),
        nearest_before=before.nearest.numpy(),
        nearest_after=after.nearest.numpy(),
        teacher=f'{spec["teacher"]}, texts "{spec["text"]}"',
    )
    with inputs.scratch(context) as folder:
        teacher.save_tokenizer(folder)
        name = f"{spec['teacher']}, context {teacher.context_length}"
        tokens = token_counter_from_file((folder / "tokenizer.json").read_bytes(), teacher.context_length, name)
    found = gates.run(context, claim, keeper, teacher=spec["teacher"], tokens=tokens, margins=margins)
    return lambda tx: gates.publish(tx, claim, found)


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
