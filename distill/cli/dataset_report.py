"""What lies in a folder of images, before a training.

    python -m distill report --images DIR --labels labels.txt --split '{"by": "parts"}' --json report.json

It opens every image, refuses nothing for its duplicates, and prints images per label, files that are skipped or cannot
be decoded, sizes, and images of the same picture. Exit codes: 0; 2, with one line on standard error, for unusable
input; 130 if it was stopped. Imports no torch.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distill.cli.arguments import parse_json, read_folder_map
from distill.cli.attribute_files import read_label2text
from distill.cli.console import Console
from distill.cli.exit_codes import exit_code
from distill.cli.label_files import read_labels
from distill.data.atomic_files import write_bytes
from distill.data.dataset.check import DatasetCheck, check_dataset
from distill.data.dataset.scan import match_dataset
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT
from distill.hooks import PipelineHooks
from limbeck.shared.images.report_text import print_dataset_report


def main(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    namespace = _argument_parser().parse_args(argv)
    return exit_code(lambda: _report(namespace))


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distill report", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", type=Path, help="label file: one label per line, CSV, JSON, YAML …")
    labels.add_argument("--label2text", type=Path, help="one `folder number label` per line; also the folder map")
    parser.add_argument("--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}')
    parser.add_argument("--source", default="{}", metavar="JSON", help="layout and subset")
    parser.add_argument("--folder-map", type=Path, metavar="JSON", help="file: folder name -> label")
    parser.add_argument("--cache", type=Path, help="folder that makes the next check fast (default: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    return parser


def _report(namespace: argparse.Namespace) -> None:
    console = Console(sys.stderr)
    folder_map: dict[str, str] = {}
    if namespace.label2text is None:
        labels = read_labels(namespace.labels, console.message)
    else:
        given = read_label2text(namespace.label2text, None)
        labels, folder_map = given.labels, given.folder_map
    split = SPLIT.validate_python(parse_json(namespace.split, "--split"))
    source = ImageSource.model_validate(parse_json(namespace.source, "--source"))
    matched = match_dataset(namespace.images, labels, split, read_folder_map(namespace.folder_map, folder_map), source)
    console.begin("checking the images")
    with _cache(namespace.cache) as cache:
        report = check_dataset(
            matched,
            split,
            DatasetCheck(duplicates="keep"),
            cache=cache,
            num_workers=os.cpu_count() or 1,
            hooks=PipelineHooks(on_progress=console.progress),
        ).report
    if namespace.json is not None:
        write_bytes(namespace.json, report.model_dump_json(indent=1).encode())
    print_dataset_report(str(namespace.images), report)


@contextmanager
def _cache(given: Path | None) -> Iterator[Path]:
    """The given folder, else a temporary one."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="limbeck-report-") as folder:
        yield Path(folder)
