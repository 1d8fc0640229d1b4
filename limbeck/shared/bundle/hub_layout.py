"""The layout of a bundle as a repository of the Hugging Face Hub, at the service and in `limbeck publish`.

A repository holds the bundle at its own paths, so that a snapshot of it is a bundle, and the files of `image/` again at
the root, where timm looks for them. The files of `pairing/`, which open_clip looks for at the root, lie only there.
"""

from collections.abc import Iterable

ORGANIZATION = "limbeck"
"""The owner of all repositories of the service."""

PAIRING_SUFFIX = "-pairing"
"""The repository of a checkpoint's pairing has the checkpoint's id with this suffix as its name."""

CARD_FILE = "README.md"
_IMAGE, _PAIRING = "image/", "pairing/"


def revision(digest: str) -> str:
    """The revision of a checkpoint: the first 40 hex digits of its digest, as long as a commit of git."""
    return digest[:40]


def student_files(paths: Iterable[str]) -> dict[str, str]:
    """Path in the repository -> path in the bundle, without the pairing. timm loads the repository."""
    own = {path: path for path in paths if not path.startswith(_PAIRING)}
    return own | {path.removeprefix(_IMAGE): path for path in own if path.startswith(_IMAGE)}


def pairing_files(paths: Iterable[str]) -> dict[str, str]:
    """Path in the repository -> path in the bundle, of the pairing and the model card. open_clip loads the repository.

    Empty if the bundle has no pairing.
    """
    all_paths = list(paths)
    files = {path.removeprefix(_PAIRING): path for path in all_paths if path.startswith(_PAIRING)}
    return files | {path: path for path in all_paths if path == CARD_FILE and files}


def bundle_paths(path: str) -> tuple[str, ...]:
    """The files of a bundle that a file of a repository may be a copy of."""
    return () if "/" in path else (_IMAGE + path, _PAIRING + path)


def is_client_file(path: str) -> bool:
    """Whether the Hub or its client made this file in a download."""
    return path == ".gitattributes" or path.startswith(".cache/huggingface/")
