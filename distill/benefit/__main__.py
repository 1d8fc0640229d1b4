"""Measure whether attributes help, without the service.

    python -m distill.benefit --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR \\
        --concept bird --out proof/

Writes `proof.json`, `proof.md` and `proof.png`, and prints the verdict and the table. Exit code 0; or 2, with one line
on standard error, for unusable input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from distill.cli.attribute_files import read_attributes
from distill.cli.label_files import read_labels
from distill.config.model_names import check_teacher
from distill.data.atomic_files import write_bytes
from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
from distill.texts.text_templates import LabelAttributes
from limbeck.shared.parts import exit_if_part_is_missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _argument_parser().parse_args(argv)
    try:
        labels = read_labels(arguments.labels, lambda report: print(report, file=sys.stderr))
        attributes = [LabelAttributes.of_lines(lines) for lines in read_attributes(arguments.attributes, labels).lines]
        check_teacher(arguments.teacher)
        image_index = scan(arguments.images, labels, SPLIT.validate_json(arguments.split))
        # Import torch only after the input was checked.
        from distill.benefit.charts import draw_chart, markdown_table
        from distill.benefit.run import measure_benefit
        from distill.cli.console import Console
        from distill.hooks import PipelineHooks
        from distill.teacher.teacher import load_teacher

        console = Console(sys.stderr)
        console.begin("proof")
        report = measure_benefit(
            load_teacher(arguments.teacher),
            image_index,
            attributes,
            cache=arguments.cache or arguments.out / "cache",
            concept=arguments.concept,
            seeds=range(arguments.seeds),
            filter_phrases=arguments.filter_phrases,
            hooks=PipelineHooks(on_progress=console.progress),
        ).as_json()
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = f"{report['verdict']}\n\n{markdown_table(report)}\n"
    write_bytes(arguments.out / "proof.json", (json.dumps(report, indent=1) + "\n").encode())
    write_bytes(arguments.out / "proof.md", text.encode())
    draw_chart(report, arguments.out / "proof.png")
    print(text, end="")
    return 0


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distill.benefit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with one folder of images per label")
    parser.add_argument("--labels", type=Path, required=True, help="label file: one label per line, CSV, JSON, YAML …")
    parser.add_argument("--attributes", type=Path, required=True, help="attribute set as JSON of Limbeck or of DCLIP")
    parser.add_argument(
        "--teacher", required=True, help="ViT-B-32:openai, ViT-B-32:FILE, hf-hub:org/name or local-dir:PATH"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}')
    parser.add_argument("--concept", default="", help='one noun for all labels, such as "bird"')
    parser.add_argument("--seeds", type=int, default=3, help="number of random samples of each control")
    parser.add_argument(
        "--filter-phrases", action="store_true", help="also look for phrases that the training images contradict"
    )
    parser.add_argument("--cache", type=Path, help="folder for text and image features (default: OUT/cache)")
    return parser


if __name__ == "__main__":
    with exit_if_part_is_missing("python -m distill.benefit"):
        sys.exit(main())
