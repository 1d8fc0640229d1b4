"""Text that is no file of labels is refused, and never becomes garbage labels."""

import pytest

from tests.limbeck.shared.label_files.reading import names, refusal


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "git lfs pull"),
        ("404: Not Found", "the error '404: Not Found' of a server"),
        ("Entry not found\n", "download it again"),
        ("INSERT INTO `labels` (`id`, `name`) VALUES\n(1, 'cat'),\n(2, 'dog');\n", "is SQL"),
        ("CREATE TABLE labels (id int, name text);\nINSERT INTO labels VALUES (1, 'cat');\n", "is SQL"),
        ("class Birds(Dataset):\n    CLASSES = ('crane', 'ibis')\n    PALETTE = [[1, 2], [3, 4]]\n", "is source code"),
        ('export enum Label {\n  CAT = "cat",\n  DOG = "dog",\n}\n', "is source code"),
        ("labels = [\n  Label('road', 7, 0),\n  Label('wall', 12, 3),\n]\n", "is code with calls"),
        (".\n├── cat\n└── dog\n", "is a listing"),
        ("total 4\ndrwxr-xr-x 2 u u 4096 Jan  1 10:00 cat\n", "is a listing"),
    ],
)
def test_other_files_are_refused_with_what_to_do(content: str, expected: str) -> None:
    assert expected in refusal(content)


@pytest.mark.parametrize(
    "labels",
    [
        ["import car", "export beer", "class ring"],
        ["public phone;", "private jet;"],
        ["create table (furniture)", "drop leaf table"],
        ["404 error page", "not found sign"],
    ],
)
def test_names_that_look_like_code_stay(labels: list[str]) -> None:
    assert names("\n".join(labels)) == [label.rstrip(";") for label in labels]
