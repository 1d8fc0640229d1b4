"""`limbeck enrich` with a scripted service: estimates, results and invalid input."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import main
from tests.limbeck.helpers import SPEND, VOCABULARY, page
from tests.limbeck.helpers import job as job_of
from tests.limbeck.scripted import Say, scripted

Capture = pytest.CaptureFixture[str]


def range_of(expected: Any, at_most: Any) -> dict[str, Any]:
    return {"expected": expected, "at_most": at_most}


ESTIMATE = {
    "object": "estimate",
    "model": "gpt-4o-mini",
    "calls": 1500,
    "prompt_tokens": range_of(300_000, 900_000),
    "completion_tokens": range_of(150_000, 1_050_000),
    "usd": range_of("0.135", "0.765"),
    "usd_unknown": None,
    "strategies": [
        {
            "strategy": "sentence@1",
            "questions": 2000,
            "answered": 500,
            "is_bound": False,
            "is_sampled": False,
            "calls": 1500,
            "prompt_tokens": range_of(300_000, 900_000),
            "completion_tokens": range_of(150_000, 1_050_000),
            "basis": "ledger",
            "num_seen": 500,
        }
    ],
    "again": {"rounds": 2, "calls": 4000, "prompt_tokens": 34_000_000, "completion_tokens": 2_800_000, "usd": "6.78"},
}


def test_a_dry_run_prints_the_estimate_and_starts_no_job(capsys: Capture) -> None:
    with scripted(
        [Say(200, ESTIMATE), Say(200, {**ESTIMATE, "usd": None, "usd_unknown": "no price", "again": None})]
    ) as server:
        command = ["enrich", "voc_1", "--strategies", "sentence", "--dry-run", "--url", server.url]
        assert main([*command, "--budget-usd", "0.10", "--mend-rounds", "2"]) == 0
        assert main([*command, "--budget-tokens", "100000"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1,500 calls to gpt-4o-mini, about 450,000 tokens: about $0.14, at most $0.76 without retries" in printed
    assert "the budget of $0.10 is expected to run out" in printed
    assert "500 past responses" in printed
    assert "plus up to 2 repair rounds for violations of the gates: at most 4,000 more calls, $6.78" in printed
    assert printed.count("repair round") == 1
    assert "no price; the budget of 100,000 tokens is expected to run out" in printed
    assert [one.path for one in server.seen] == ["/v1/jobs/estimate"] * 2
    body = json.loads(server.seen[0].body)
    assert (body["budget_usd"], body["mend_rounds"]) == ("0.10", 2)


def test_the_endpoint_is_sent_and_named(capsys: Capture) -> None:
    with scripted([Say(200, {**ESTIMATE, "endpoint": "azure"})]) as server:
        assert main(["enrich", "voc_1", "--endpoint", "azure", "--dry-run", "--url", server.url]) == 0
    assert "1,500 calls to gpt-4o-mini at azure, about" in " ".join(capsys.readouterr().out.split())
    assert json.loads(server.seen[0].body)["endpoint"] == "azure"


def test_a_file_of_labels_is_described(tmp_path: Path, capsys: Capture) -> None:
    labels = tmp_path / "birds.txt"
    labels.write_text("crane\nauk\n")
    result = {"attribute_set_id": "ats_1", "num_labels": 2, "num_described": 2}
    ended = {**job_of("succeeded", result=result), "spend": SPEND}
    no_events = Say(200, page())
    with scripted([Say(201, VOCABULARY), Say(202, job_of("queued")), Say(200, ended), no_events]) as server:
        code = main(
            ["enrich", str(labels), "--strategies", "sentence,phrases", "--budget-usd", "2.50", "--url", server.url]
        )
    assert code == 0
    printed = " ".join(capsys.readouterr().out.split())
    report = "read as plain text, one label per line; dropped 1 blank line; warning: check 'Käfer'"
    assert f"2 labels as voc_1 {report}" in printed
    assert "2 labels described as ats_1; $0.01 spent, about $0.02 in all (cap $2.50)" in printed
    body = json.loads(server.seen[1].body)
    assert (body["strategies"], body["budget_usd"]) == (["sentence", "phrases"], "2.50")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["voc_1", "--budget-usd", "much"], "--budget-usd 'much'"),
        (["voc_1", "--budget-usd", "0"], "must be above 0"),
        (["voc_1", "--strategies", ","], "--strategies"),
        (["voc_1", "--domain", "birds"], "--domain"),
        (["nowhere.txt"], "nowhere.txt"),
    ],
)
def test_invalid_input_is_rejected(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["enrich", *arguments, "--url", "http://127.0.0.1:9"]) == 2
    assert message in capsys.readouterr().err
