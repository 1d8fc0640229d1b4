"""The options of the command line for the check of a dataset's images. Imports no torch."""

import argparse
from typing import get_args

from distill.data.dataset_check.check import DatasetCheck
from limbeck.shared.images.dataset_report import Check, DuplicateAction, NearDuplicateAction


def add_check_options(parser: "argparse._ArgumentGroup") -> None:
    """Add `--check`, `--duplicates` and `--near-duplicates`."""
    parser.add_argument(
        "--check",
        choices=get_args(Check),
        help="full (default): open every image before the training; names: open none",
    )
    parser.add_argument(
        "--duplicates",
        choices=get_args(DuplicateAction),
        help="copies of an image in several parts: refuse (default), move to training or leave out, or keep",
    )
    parser.add_argument(
        "--near-duplicates",
        choices=get_args(NearDuplicateAction),
        help="the same for pictures that look the same: report (default), move or refuse",
    )


def check_options(namespace: argparse.Namespace) -> DatasetCheck:
    """The options that were given. Raises ValidationError if they contradict each other."""
    names = ("check", "duplicates", "near_duplicates")
    return DatasetCheck(**{name: value for name in names if (value := getattr(namespace, name)) is not None})
