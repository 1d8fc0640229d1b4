"""Measures the benefit of attributes on the field guide.

    python -m examples.fieldguide.prove --out DIR [--write docs]

Starts the stand-in LLM and the service like the demo, describes the labels with several strategies, and runs a prove
job on images of the seen and of the validation species. With `--write`, the table, the verdict and the chart are
written to `evidence.md` in that folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.documents import put_part
from benchmarks.load import machine
from distill.benefit.charts import draw_chart, markdown_table
from distill.json_types import BenefitReportJSON
from examples.demo.services import StepFailed, environment, llm_command, process, serve_command, wait_until_ready
from examples.fieldguide.guide import (
    DOMAIN,
    IMAGE_FOLDER,
    SEEN,
    TEACHER,
    UNSEEN,
    species_names,
    split,
    write_images,
    write_teacher,
)
from limbeck import Client, LimbeckError
from limbeck.commands.prove import proof_table
from limbeck.progress import follow
from limbeck.shared.text import counted

STRATEGIES = ("describe", "questions", "contrast")
CONCEPT = "creature"
CHART = "evidence-attributes.png"
COMMAND = "make prove"


def prove(out: Path, console: Console) -> BenefitReportJSON:
    """Run everything from labels to the proof through the service; returns the report."""
    data = out / "data"
    write_images(data, {SEEN: 20, UNSEEN: 20})
    write_teacher(data)
    llm_log, service_log = out / "llm.log", out / "service.log"
    with process("the stand-in LLM", llm_command(), env=environment(out, llm_url=""), log=llm_log) as llm_url:
        env = environment(out, llm_url=llm_url)
        with process("limbeck serve", serve_command(), env=env, log=service_log) as url, Client(url) as client:
            wait_until_ready(client, service_log)
            return _run_jobs(client, console)


def _run_jobs(client: Client, console: Console) -> BenefitReportJSON:
    teacher = f"local-dir:{TEACHER}"
    vocabulary = client.vocabularies.create("field guide", species_names(), domain=DOMAIN)
    enrich_job = client.jobs.create(
        "enrich", vocabulary_id=vocabulary.id, strategies=STRATEGIES, teacher=teacher, neighbours=5
    )
    described = follow(client, enrich_job, console, title="describe labels").result or {}
    dataset = client.datasets.create(vocabulary.id, IMAGE_FOLDER, split=split(), name="field guide")
    prove_job = client.jobs.create(
        "prove",
        attribute_set_id=described["attribute_set_id"],
        dataset_id=dataset.id,
        teacher=teacher,
        concept=CONCEPT,
        filter_phrases=True,
    )
    proof: BenefitReportJSON = (follow(client, prove_job, console, title="prove the benefit").result or {})["proof"]
    return proof


def write(proof: BenefitReportJSON, docs: Path) -> None:
    """Write the section of `evidence.md` about attributes and its chart."""
    draw_chart(proof, docs / CHART)
    filtered = proof["filtered"]
    assert filtered is not None
    removed = sum(map(len, filtered["dropped"].values()))
    filter_result = (
        f"not applied, because {filtered['refused']}"
        if filtered["refused"]
        else f"{counted(removed, 'phrase of seen labels is', 'phrases of seen labels are')} removed; held-out accuracy "
        f"by phrases is {filtered['before']:.1%} before and {filtered['after']:.1%} after"
    )
    images, labels = proof["num_images"], proof["num_labels"]
    put_part(
        docs / "evidence.md",
        "attributes",
        f"""# Attributes

**{proof["verdict"]}**

Written by `{COMMAND}`, on {machine().partition(";")[0]}. The teacher of the field guide classifies {images["id"]}
held-out images of {labels["id"]} seen species and {images["ood"]} images of {labels["ood"]} species of the validation
group, described by the stand-in LLM with {", ".join(STRATEGIES)}. No student is trained: the figures are zero-shot
mean per-class accuracies of the teacher. The waffle baseline uses as many texts of random words and letters as a label
has phrases, over {len(proof["seeds"])} seeds. Brackets hold the 95% interval of the gain over waffle, bootstrapped over
labels. The text kind in bold was chosen on held-out images of seen species.

{markdown_table(proof)}

![Accuracy by arm]({CHART})

Image-based filtering of phrases: {filter_result}.

The field guide is synthetic, and its stand-in LLM knows what is drawn. The gain therefore shows that the pipeline
works; it does not predict the benefit of LLM attributes on photographs.""",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.fieldguide.prove", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("proof"), help="output folder; it must not exist")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the result to evidence.md in this folder")
    options = parser.parse_args(arguments)
    console = Console()
    out = options.out.resolve()
    if out.exists():
        print(f"prove: {out} exists: choose another folder with --out, or remove it", file=sys.stderr)
        return 2
    try:
        proof = prove(out, console)
    except KeyboardInterrupt:
        return 130
    except (StepFailed, LimbeckError, OSError, TimeoutError) as error:
        print(f"prove: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    (out / "proof.json").write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    draw_chart(proof, out / "proof.png")
    if options.write is not None:
        write(proof, options.write)
    console.print(proof_table(proof))
    console.print(proof["verdict"], highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
