"""Prove whether attributes help, without the service.

    python -m distill.benefit --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR \\
        --concept bird --out proof/

Writes `proof.json`, `proof.md` and `proof.png`, prints the table and the verdict. Ends with 0; with 2 and one line for
input that cannot be used.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from distill.cli.label_files import read_attributes, read_labels
from distill.config.model_names import check_teacher
from distill.data.atomic_files import write_bytes
from distill.data.image_index import SPLIT, scan
from distill.texts.text_templates import LabelAttributes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = _arguments().parse_args(argv)
    try:
        labels = read_labels(given.labels)
        said = [LabelAttributes.of_lines(lines) for lines in read_attributes(given.attributes, labels)]
        check_teacher(given.teacher)
        image_index = scan(given.images, labels, SPLIT.validate_json(given.split))
        # torch is loaded only for input that can be used.
        from distill.benefit.charts import draw_chart, markdown_table
        from distill.benefit.run import measure_benefit
        from distill.cli.console import Console
        from distill.hooks import PipelineHooks
        from distill.teacher.teacher import load_teacher

        console = Console(sys.stderr)
        console.begin("proof")
        proof = measure_benefit(
            load_teacher(given.teacher),
            image_index,
            said,
            cache=given.cache or given.out / "cache",
            concept=given.concept,
            seeds=range(given.seeds),
            filter_phrases=given.filter_phrases,
            watch=PipelineHooks(on_progress=console.progress),
        ).as_json()
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    text = f"{proof['verdict']}\n\n{markdown_table(proof)}\n"
    write_bytes(given.out / "proof.json", (json.dumps(proof, indent=1) + "\n").encode())
    write_bytes(given.out / "proof.md", text.encode())
    draw_chart(proof, given.out / "proof.png")
    print(text, end="")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distill.benefit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with one folder of images for each label")
    parser.add_argument("--labels", type=Path, required=True, help="text file, a label a line")
    parser.add_argument("--attributes", type=Path, required=True, help="attribute set: Limbeck's JSON, or DCLIP's")
    parser.add_argument("--teacher", required=True, help="ViT-B-32:openai, hf-hub:org/name or local-dir:PATH")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}')
    parser.add_argument("--concept", default="", help='one word for all labels, such as "bird"')
    parser.add_argument("--seeds", type=int, default=3, help="how often each control is drawn")
    parser.add_argument("--filter-phrases", action="store_true", help="look for phrases that training images deny")
    parser.add_argument("--cache", type=Path, help="text and image features (default: in OUT)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
