"""`limbeck attributes prove`: the table, the verdict, the filter and the written file."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import main
from tests.limbeck.helpers import Capture, failed, job, page
from tests.limbeck.scripted import Say, scripted

COMMAND = ["attributes", "prove", "ats_1", "--dataset", "dst_1", "--teacher", "ViT-B-32:openai"]


def part(accuracy: float, *, gain: float | None) -> dict[str, Any]:
    over = None if gain is None else {"mean": gain, "labels": [gain - 0.1, gain + 0.1]}
    return {"accuracy": accuracy, "draws": [accuracy], "over_names": over, "over_control": over}


def proof(**more: Any) -> dict[str, Any]:
    """A report with seen labels only: names, and sentences that help."""
    return {
        "teacher": "ViT-B-32:openai",
        "concept": "bird",
        "seeds": [0],
        "num_images": {"id": 20},
        "num_labels": {"id": 4},
        "chance": {"id": 0.25},
        "arms": [
            {"name": "names", "role": "names", "num_texts": 1, "id": part(0.5, gain=None), "ood": None},
            {"name": "sentence", "role": "attributes", "num_texts": 1, "id": part(0.75, gain=0.2), "ood": None},
        ],
        "chosen": "sentence",
        "verdict": "The attributes help more than Waffle.",
        "label_gains": {},
        "num_shortened": 0,
        "filtered": None,
        **more,
    }


def script(report: dict[str, Any], set_id: str | None = None) -> list[Say]:
    result = {"proof": report, "attribute_set_id": set_id}
    return [Say(202, job("queued")), Say(body=job("succeeded", kind="prove", result=result)), Say(body=page())]


def test_the_table_and_the_verdict_are_printed_and_the_measurements_written(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    with scripted(script(proof())) as service:
        assert main([*COMMAND, "--concept", "bird", "--out", str(out), "--url", service.url]) == 0
        sent = json.loads(service.seen[0].body)
    assert (sent["kind"], sent["attribute_set_id"], sent["dataset_id"]) == ("prove", "ats_1", "dst_1")
    assert (sent["teacher"], sent["concept"], sent["seeds"]) == ("ViT-B-32:openai", "bird", 3)
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    assert rows["sentence"] == ["75.0", "+20.0", "[+10,", "+30]"]
    assert rows["names"] == ["50.0"]
    assert rows["chance"] == ["25.0"]
    assert "The attributes help more than Waffle." in printed
    assert json.loads(out.read_text()) == proof()


@pytest.mark.parametrize(
    ("filtered", "set_id", "text"),
    [
        ({"refused": "", "dropped": {"crane": ["a", "b"]}, "before": 0.5, "after": 0.6}, "ats_2", "2 phrases that"),
        ({"refused": "", "dropped": {}, "before": 0.5, "after": 0.5}, None, "contradict no phrase"),
        ({"refused": "too few images", "dropped": {}, "before": 0.5, "after": 0.5}, None, "too few images"),
    ],
)
def test_the_outcome_of_the_filter_is_printed(
    filtered: dict[str, Any], set_id: str | None, text: str, capsys: Capture
) -> None:
    with scripted(script(proof(filtered=filtered), set_id)) as service:
        assert main([*COMMAND, "--filter-phrases", "--url", service.url]) == 0
        assert json.loads(service.seen[0].body)["filter_phrases"] is True
    assert text in " ".join(capsys.readouterr().out.split())


def test_a_missing_folder_is_reported_before_the_job_is_created(capsys: Capture, tmp_path: Path) -> None:
    with scripted([]) as service:
        code, message = failed([*COMMAND, "--out", str(tmp_path / "no" / "proof.json"), "--url", service.url], capsys)
        assert service.seen == []
    assert code == 2
    assert "there is no folder" in message


def test_the_result_is_printed_also_if_the_file_cannot_be_written(capsys: Capture, tmp_path: Path) -> None:
    with scripted(script(proof())) as service:
        assert main([*COMMAND, "--out", str(tmp_path), "--url", service.url]) == 2
    printed = capsys.readouterr()
    assert "The attributes help more than Waffle." in printed.out
    assert "Is a directory" in printed.err
