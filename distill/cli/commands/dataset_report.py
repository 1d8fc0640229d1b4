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

from distill.cli.arguments import (
    add_image_arguments,
    add_unlabelled_argument,
    match_given_images,
    read_given_labels,
)
from distill.cli.console import Console
from distill.cli.exit_codes import exit_code
from distill.data.atomic_files import write_bytes
from distill.data.dataset_check.check import DatasetCheck, check_dataset
from distill.hooks import PipelineHooks
from limbeck.shared.images.report_text import print_dataset_report


def main(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    namespace = _argument_parser().parse_args(argv)
    return exit_code(lambda: _report(namespace))


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distill report", description=(__doc__ or "").partition("\n")[0])
    files = parser.add_argument_group("images and labels")
    add_image_arguments(files)
    add_unlabelled_argument(files)
    options = parser.add_argument_group("options")
    options.add_argument("--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}')
    options.add_argument("--cache", type=Path, help="folder that makes the next check fast (default: none)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    parser.set_defaults(attributes=None, sentences=None)
    return parser


def _report(namespace: argparse.Namespace) -> None:
    console = Console(sys.stderr)
    given = read_given_labels(namespace)
    for note in given.notes:
        console.message(note)
    matched, split = match_given_images(namespace, given.labels, given.folder_map, given.ids, namespace.unlabelled)
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
