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


def range_of(expected: Any, without_repeats: Any, at_most: Any) -> dict[str, Any]:
    return {"expected": expected, "without_repeats": without_repeats, "at_most": at_most}


ESTIMATE: dict[str, Any] = {
    "object": "estimate",
    "model": "gpt-4o-mini",
    "max_attempts": 5,
    "reasoning_tokens": 0,
    "calls": 1500,
    "prompt_tokens": range_of(300_000, 900_000, 9_000_000),
    "completion_tokens": range_of(150_000, 1_050_000, 66_000_000),
    "usd": range_of("0.135", "0.765", "40.95"),
    "usd_unknown": None,
    "strategies": [
        {
            "strategy": "sentence@1",
            "questions": 2000,
            "answered": 500,
            "is_bound": False,
            "is_sampled": False,
            "calls": 1500,
            "prompt_tokens": range_of(300_000, 900_000, 9_000_000),
            "completion_tokens": range_of(150_000, 1_050_000, 66_000_000),
            "basis": "ledger",
            "num_seen": 500,
        }
    ],
    "again": {"rounds": 2, "calls": 4000, "prompt_tokens": 34_000_000, "completion_tokens": 2_800_000, "usd": "6.78"},
}


def test_a_dry_run_prints_the_estimate_and_starts_no_job(capsys: Capture) -> None:
    guessed = {**ESTIMATE["strategies"][0], "basis": "guess", "num_seen": 0}
    unpriced = {**ESTIMATE, "usd": None, "usd_unknown": "no price", "again": None, "strategies": [guessed]}
    with scripted([Say(200, ESTIMATE), Say(200, unpriced)]) as server:
        command = ["enrich", "voc_1", "--strategies", "sentence", "--dry-run", "--url", server.url]
        assert main([*command, "--budget-usd", "0.10", "--mend-rounds", "2"]) == 0
        assert main([*command, "--budget-tokens", "100000"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1,500 calls to gpt-4o-mini, about 450,000 tokens: about $0.14; the budget of $0.10 is expected" in printed
    assert "$0.76 if no call is repeated and every response is as long as it may be" in printed
    assert "never more than $40.95: every question with all its 5 attempts at the largest token limit" in printed
    assert "up to 2 repair rounds for violations of the gates (4,000 more questions, $6.78 of it)" in printed
    assert "the budget ends the job before it costs more than $0.10" in printed
    assert "500 past responses" in printed
    assert printed.count("repair round") == 1
    assert "no price; the budget of 100,000 tokens is expected to run out" in printed
    assert "1,950,000 tokens if no call is repeated" in printed
    assert printed.count("a model that thinks before it answers costs more") == 1
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
    assert "2 labels described as ats_1; $0.01 spent (cap $2.50)" in printed
    body = json.loads(server.seen[1].body)
    assert (body["strategies"], body["budget_usd"]) == (["sentence", "phrases"], "2.50")


def test_language_and_system_prompt_are_posted(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("You are a botanist.\n")
    command = ["enrich", "voc_1", "--dry-run", "--language", "German", "--system-prompt", str(prompt)]
    with scripted([Say(200, ESTIMATE)]) as server:
        assert main([*command, "--url", server.url]) == 0
    body = json.loads(server.seen[0].body)
    assert (body["language"], body["system_prompt"]) == ("German", "You are a botanist.\n")


REFUSED = {
    "reason": "refused",
    "count": 1,
    "partly_count": 1,
    "meaning": "the filter declined",
    "remedy": "Use another model.",
    "examples": [{"position": 1, "subject": "auk (bird)", "detail": "[flagged] by moderation"}],
}
PARTLY = {
    "attribute_set_id": "ats_1",
    "num_labels": 3,
    "num_described": 2,
    "failed_labels": {"refused": 1},
    "partly_failed_labels": {"refused": 1},
    "failed_reasons": [REFUSED],
    "calls_by_status": {"ok": 2, "refused": 2, "timeout": 1},
}


def enriched(*responses: Say) -> tuple[int, str]:
    """The exit code of `limbeck enrich` for these responses to the post, the poll and the events."""
    with scripted([Say(202, job_of("queued")), *responses]) as server:
        return main(["enrich", "voc_1", "--url", server.url]), server.url


def test_missing_labels_are_reported_by_reason_with_exit_code_3(capsys: Capture) -> None:
    ended = {**job_of("succeeded", result=PARTLY), "spend": SPEND}
    code, _ = enriched(Say(200, ended), Say(200, page()))
    output = capsys.readouterr()
    assert code == 3
    assert output.err == (
        "limbeck: of 3 labels, 1 without attributes and 1 with only some of them; the reasons are above\n"
    )
    printed = " ".join(output.out.split())
    assert "2 of 3 labels described as ats_1, 1 without attributes and 1 with only some of them; $0.01 spent" in printed
    assert "refused: 1 without attributes and 1 with only some of them, because the filter declined" in printed
    assert "for example auk (bird): [flagged] by moderation remedy: Use another model." in printed
    assert "3 of 5 calls gave no usable response: 2 refused, 1 timeout" in printed


def test_results_of_an_earlier_release_have_reasons_with_remedies_too(capsys: Capture) -> None:
    old = {name: PARTLY[name] for name in ("attribute_set_id", "num_labels", "num_described", "failed_labels")}
    code, _ = enriched(Say(200, job_of("succeeded", result=old)), Say(200, page()))
    printed = " ".join(capsys.readouterr().out.split())
    assert code == 3
    assert "refused: 1 without attributes, because the model or its content filter declined" in printed
    assert "remedy: Give an ambiguous label a sense" in printed


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        ("failed", "llm_unavailable", "Run the same enrichment again when the server is back"),
        ("failed", "budget_spent", "with a larger budget: responses are not paid for twice"),
        ("cancelled", None, "no LLM call"),
    ],
)
def test_spend_and_remedy_of_a_job_that_did_not_succeed_are_printed(
    status: str, error: str | None, remedy: str, capsys: Capture
) -> None:
    ended = job_of(status, result=PARTLY, error=error and {"code": error, "message": "it is away"})
    ended["spend"] = SPEND if error else None
    code, _ = enriched(Say(200, ended), Say(200, page()))
    output = capsys.readouterr()
    assert code == 1
    assert output.err.startswith(f"limbeck: enrich job job_1 {status}")
    printed = " ".join(output.out.split())
    assert "2 of 3 labels described as ats_1" in printed
    assert ("$0.01 spent" in printed) == bool(error)
    assert remedy in printed


def test_the_remedy_of_an_error_that_is_also_the_reason_is_printed_once(capsys: Capture) -> None:
    result = {**PARTLY, "failed_labels": {"budget_spent": 1}, "partly_failed_labels": {}}
    del result["failed_reasons"]  # counted from the others
    ended = job_of("failed", result=result, error={"code": "budget_spent", "message": "the budget is spent"})
    code, _ = enriched(Say(200, ended), Say(200, page()))
    assert code == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("responses are not paid for twice") == 1


def test_a_job_with_many_warnings_prints_the_first_ones_and_where_the_others_are(capsys: Capture) -> None:
    events = [
        {"id": i, "at": "2026-11-23T21:04:05Z", "level": "warning", "type": "message", "message": f"w{i}", "data": {}}
        for i in range(1, 60)
    ]
    enriched(Say(200, job_of("succeeded", result=PARTLY)), Say(200, page(*events)))
    printed = " ".join(capsys.readouterr().out.split())
    assert "warning w1 " in printed
    assert "warning w20 warning more warnings are in the job's events: limbeck jobs events job_1" in printed
    assert "w21" not in printed


def test_a_refused_file_of_labels_is_one_line_with_every_fault(tmp_path: Path, capsys: Capture) -> None:
    labels = tmp_path / "birds.txt"
    labels.write_text("crane\nCrane\nher\aon\n")
    problem = {"type": "about:blank", "title": "x", "status": 422, "code": "label_invalid", "detail": "line 2: is …"}
    problem |= {"errors": [{"pointer": "/labels/1/name", "detail": "line 2: is …"}]}
    with scripted([Say(422, problem)]) as server:
        assert main(["enrich", str(labels), "--url", server.url]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert 'birds.txt: line 2: label "Crane" is also on line 1; give each a sense after a tab; line 3: label' in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["voc_1", "--budget-usd", "much"], "--budget-usd 'much'"),
        (["voc_1", "--budget-usd", "0"], "must be above 0"),
        (["voc_1", "--strategies", ","], "--strategies"),
        (["voc_1", "--domain", "birds"], "--domain"),
        (["nowhere.txt"], "nowhere.txt"),
        (["voc_1", "--system-prompt", "nowhere.txt"], "nowhere.txt: No such file"),
    ],
)
def test_invalid_input_is_rejected(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["enrich", *arguments, "--url", "http://127.0.0.1:9"]) == 2
    assert message in capsys.readouterr().err
