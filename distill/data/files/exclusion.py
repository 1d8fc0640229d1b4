"""Which files and folders of a dataset are left out: hidden ones, those that operating systems and file servers create,
and those that match a pattern of the user. Everything left out is reported. Imports no torch.
"""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

from limbeck.shared.images.file_names import shown_path

SYSTEM_NAMES = frozenset(
    [
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "__macosx",
        "paxheader",
        "lost+found",
        "found.000",
        "$recycle.bin",
        "recycler",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "__pycache__",
    ]
) | {"system volume information", "icon\r"}
"""Names of files and folders that operating systems, file servers and tools create, in lower case."""

HIDDEN = "name begins with a dot"
SYSTEM = "created by a system or tool"


def rule_against(name: str) -> str | None:
    """Why a file or folder of this name is left out without being asked for; None if it is not."""
    if name.startswith("."):
        return HIDDEN
    folded = name.lower()
    return SYSTEM if folded in SYSTEM_NAMES or folded.startswith("paxheaders.") else None


class Exclusion:
    """The rules for one dataset. Paths are relative to its root, with forward slashes.

    `patterns`: shell patterns, which match a path below the root or the name alone, with case; `*` also matches `/`. A
    pattern that ends in `/` matches folders only, and one that begins with `/` the path only. `skip(reason, path)`
    is called for everything that is left out, and patterns that left something out are added to `used`.
    """

    def __init__(self, patterns: Sequence[str], skip: Callable[[str, str], None], used: set[str]) -> None:
        self._patterns = [
            (pattern, re.compile(translate(pattern.removeprefix("./").strip("/"))), pattern.endswith("/"))
            for pattern in patterns
        ]
        self.skip = skip
        self._used = used

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is left out, by its name or by a pattern; its parent folders are not looked at."""
        return self.excludes(path, is_folder=is_folder) or self._by_rule(path, is_folder=is_folder)

    def leaves_out_member(self, archive: str, member: str) -> bool:
        """Whether a member of an archive is left out, itself or by one of its folders."""
        steps = member.split("/")
        for end in range(1, len(steps) + 1):
            if self.leaves_out("/".join([archive, *steps[:end]]), is_folder=end < len(steps)):
                return True
        return False

    def leaves_out_listed(self, path: str) -> bool:
        """Whether a pattern leaves out an image that a list or table names, itself or by one of its folders.

        Names alone leave nothing out here: whoever lists a hidden file wants it.
        """
        steps = path.split("/")
        return any(self.excludes("/".join(steps[:end]), is_folder=end < len(steps)) for end in range(1, len(steps) + 1))

    def excludes(self, path: str, *, is_folder: bool) -> bool:
        """Whether a pattern leaves out a file or folder; its parent folders are not looked at."""
        if not self._patterns:
            return False
        shown = shown_path(path)
        name = shown.rpartition("/")[2]
        for pattern, regex, folders_only in self._patterns:
            matches = regex.match(shown) or (not pattern.startswith("/") and regex.match(name))
            if matches and (is_folder or not folders_only):
                self._used.add(pattern)
                self.skip(f'excluded by "{pattern}"', path + "/" * is_folder)
                return True
        return False

    def _by_rule(self, path: str, *, is_folder: bool) -> bool:
        reason = rule_against(path.rpartition("/")[2])
        if reason is not None:
            self.skip(reason, path + "/" * is_folder)
        return reason is not None


def no_exclusion() -> Exclusion:
    """Only the rules by name; nothing is reported."""
    return Exclusion((), lambda _reason, _path: None, set())
