"""The check part with a teacher: the quality gates, including the margins between the text features of labels.

The margins compare the texts with attributes to the names alone, and show labels that the attributes make more similar.
"""

from collections.abc import Sequence

from attributes.gates.margins import Margins
from attributes.gates.token_lengths import token_counter_from_file
from distill.teacher.teacher import Teacher
from distill.texts.separation import Separation, separation
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import render
from store.jobs.claims import Claim
from store.jobs.specs import CheckSpec
from workers.enrich import gates
from workers.gpu import inputs
from workers.gpu.pipeline_hooks import pipeline_errors, pipeline_hooks
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish


def check_with_teacher(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part; publishes the report of the gates."""
    spec = claim.job(CheckSpec)
    ref = spec.teacher or ""
    teacher = inputs.teacher(context, ref)
    texts = inputs.texts(context, spec)
    names = [
        render("names", label, attributes, spec.prompt)
        for label, attributes in zip(texts.labels, texts.attributes, strict=True)
    ]
    before, after = (_separation(context, teacher, prompts, lease) for prompts in (names, texts.prompts))
    margins = Margins(
        before=before.margin.numpy(),
        after=after.margin.numpy(),
        nearest_before=before.nearest.numpy(),
        nearest_after=after.nearest.numpy(),
        teacher=f'{ref}, texts "{spec.text}"',
    )
    with inputs.scratch(context, claim) as folder:
        teacher.save_tokenizer(folder)
        tokenizer = f"{ref}, context {teacher.context_length}"
        tokens = token_counter_from_file((folder / "tokenizer.json").read_bytes(), teacher.context_length, tokenizer)
    found = gates.judge_set(context, claim, lease, teacher=ref, tokens=tokens, margins=margins)
    return lambda tx: gates.publish_check(tx, claim, found)


def _separation(
    context: Context, teacher: Teacher, prompts: Sequence[tuple[str, ...]], lease: LeaseRenewal
) -> Separation:
    with pipeline_errors():
        targets = encode_text_targets(teacher, prompts, cache=context.settings.cache, hooks=pipeline_hooks(lease))
    return separation(targets.features.to(inputs.device()))
