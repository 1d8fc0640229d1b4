"""Whether the attributes help, on the field guide: `python -m examples.fieldguide.prove --out DIR [--write docs]`.

Starts the stand-in LLM and the service as the demo does, has the labels described in several ways, and proves the set
on pictures of the seen and of the validation species. With `--write`, the table, the verdict and the picture go into
`evidence.md` of that folder.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.documents import put_part
from benchmarks.load import machine
from distill.benefit.charts import draw, table
from examples.demo import job
from examples.demo.services import StepFailed, environment, llm_command, process, serve_command, wait_until_ready
from examples.fieldguide.world import species, write_class_folders
from limbeck.client import Limbeck, LimbeckError
from limbeck.commands.prove import proof_table
from limbeck.progress import follow

STRATEGIES = ("describe", "questions", "contrast")
CONCEPT = "creature"
PICTURE = "evidence-attributes.png"
COMMAND = "make prove"


def prove(out: Path, console: Console) -> dict[str, Any]:
    """Everything from labels to the proof, through the service; the result of the job that proved."""
    data = out / "data"
    write_class_folders(data / job.PICTURES, [job.SEEN, job.UNSEEN], 20, job.SEED)
    shutil.copytree(Path(__file__).with_name("teacher"), data / job.TEACHER)
    llm_log, service_log = out / "llm.log", out / "service.log"
    with process("the stand-in LLM", llm_command(), env=environment(out, llm_url=""), log=llm_log) as llm_url:
        env = environment(out, llm_url=llm_url)
        with process("limbeck serve", serve_command(), env=env, log=service_log) as url, Limbeck(url) as client:
            wait_until_ready(client, service_log)
            return _through(client, console)


def _through(client: Limbeck, console: Console) -> dict[str, Any]:
    teacher = f"local-dir:{job.TEACHER}"
    names = [one.name for group in (job.SEEN, job.UNSEEN) for one in species(group)]
    vocabulary = client.create_vocabulary("field guide", names, domain=job.DOMAIN)
    asked = client.enrich(vocabulary.id, strategies=STRATEGIES, teacher=teacher, neighbours=5)
    described = follow(client, asked, console, title="describe labels").result or {}
    split = {
        "by": "list",
        "id": [one.name for one in species(job.SEEN)],
        "ood": [one.name for one in species(job.UNSEEN)],
        "held_out": 0.3,
        "seed": job.SEED,
    }
    dataset = client.register_dataset(vocabulary.id, job.PICTURES, split=split, name="field guide")
    asked = client.prove(
        described["attribute_set_id"], dataset.id, teacher=teacher, concept=CONCEPT, filter_phrases=True
    )
    return follow(client, asked, console, title="prove the benefit").result or {}


def write(proof: Mapping[str, Any], docs: Path) -> None:
    """The part of `evidence.md` that is about attributes, and its picture."""
    draw(proof, docs / PICTURE)
    filtered = proof["filtered"]
    told = (
        f"left as they are, because {filtered['refused']}"
        if filtered["refused"]
        else f"{sum(map(len, filtered['dropped'].values()))} phrases of seen labels go, held-out accuracy by phrases "
        f"{filtered['before']:.1%} before and {filtered['after']:.1%} after"
    )
    images, labels = proof["num_images"], proof["num_labels"]
    put_part(
        docs / "evidence.md",
        "attributes",
        f"""# Attributes

**{proof["verdict"]}**

Written by `{COMMAND}`, on {machine().partition(";")[0]}. The field guide's teacher tells {images["id"]} held-out
pictures of {labels["id"]} seen species and {images["ood"]} pictures of {labels["ood"]} species of the validation group,
described by the stand-in LLM with {", ".join(STRATEGIES)}. No student is trained; these are the teacher's own zero-shot
accuracies, means per class. Waffle says as many texts of random words and letters as a label has phrases, over
{len(proof["seeds"])} seeds; in brackets the 95% interval of the gain over it, had we other labels of this kind. The
way of telling in bold was chosen on held-out pictures of seen species.

{table(proof)}

![Accuracy by arm]({PICTURE})

Image-based filtering of phrases: {told}.

This world is ours: its stand-in LLM knows what is drawn, so that the gain says that the engine works, not what an LLM's
attributes are worth on photographs.""",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.fieldguide.prove", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("proof"), help="the folder for everything it makes")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="put the result into evidence.md of this folder")
    asked = parser.parse_args(arguments)
    console = Console()
    out = asked.out.resolve()
    if out.exists():
        print(f"prove: {out} is there already: give --out another folder, or remove it", file=sys.stderr)
        return 2
    try:
        proof = prove(out, console)["proof"]
    except KeyboardInterrupt:
        return 130
    except (StepFailed, LimbeckError, OSError, TimeoutError) as error:
        print(f"prove: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    (out / "proof.json").write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    draw(proof, out / "proof.png")
    if asked.write is not None:
        write(proof, asked.write)
    console.print(proof_table(proof))
    console.print(proof["verdict"], highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
