"""The table of images with several labels."""

from rich.console import Console

from distill.cli.report import accuracy_table
from limbeck.commands.evaluations import is_measured, results_table
from tests.distill.bundle.card.multi_label.test_markdown import evaluation


def test_the_table_shows_map_f1_and_chance() -> None:
    student = evaluation()
    console = Console(width=120, record=True)
    rows = [("student", "names", student), ("teacher", "names", student["teacher"][0])]
    console.print(results_table(rows))
    text = console.export_text()
    assert "mean average precision (F1 at the threshold)" in text
    assert "81.2% (74.7%)" in text
    assert "95.0%" in text
    assert "seen labels (2)" in text
    assert is_measured(student)


def test_lines_of_a_run() -> None:
    student = {**evaluation(), "run": "resnet18"}
    lines = accuracy_table(student["teacher"], student).splitlines()  # type: ignore[arg-type]
    assert lines[0].split() == ["text", "mAP,", "ID", "mAP,", "OOD"]
    assert [line.split()[-2:] for line in lines[1:]] == [["95.0%", "-"], ["81.2%", "40.0%"], ["25.0%", "25.0%"]]
