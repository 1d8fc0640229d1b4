"""`limbeck distill`, `evaluate`, `encode` and `dataset create` with a scripted service."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import main
from limbeck.commands.evaluations import names_are_better
from tests.further_evaluation import FURTHER
from tests.limbeck.commands.test_run import DATASET, evaluation, followed
from tests.limbeck.helpers import VOCABULARY
from tests.limbeck.scripted import Say, Seen, problem, scripted

Capture = pytest.CaptureFixture[str]
CHECK = {"kind": "distill", "spec": {"recipe": "limbeck", "config": {}}, "same_job_id": None, "estimate": None}


def run(script: list[Say], *arguments: str) -> tuple[int, list[Seen]]:
    with scripted(script) as server:
        return main([*arguments, "--url", server.url]), server.seen


def test_a_sealed_set_is_distilled(capsys: Capture) -> None:
    trained = evaluation(0.9, 0.6) | {"teacher": [evaluation(0.95, 0.85)]}
    script = [Say(200, CHECK), *followed({"checkpoint_id": "ckp_1", "evaluation": trained})]
    options = ("--dataset", "dst_1", "--attributes", "ats_1", "--teacher", "ViT-B-32:openai", "--set", "epochs=2")
    code, seen = run(script, "distill", *options)
    assert [one.path for one in seen[:2]] == ["/v1/jobs?dry_run=true", "/v1/jobs"]
    assert json.loads(seen[1].body) == {
        "kind": "distill",
        "dataset_id": "dst_1",
        "attribute_set_id": "ats_1",
        "teacher": "ViT-B-32:openai",
        "text": "sentence",
        "recipe": "limbeck",
        "config": {"epochs": 2},
    }
    printed = capsys.readouterr().out
    assert code == 0
    assert all(figure in printed for figure in ("90.0%", "60.0%", "95.0%", "85.0%"))
    assert "next: limbeck download ckp_1 --out student" in printed


def test_what_a_job_is_refused_for_is_named_by_its_option(capsys: Capture) -> None:
    unknown = [{"pointer": "/config/student", "detail": "no student is called resnet81"}]
    code, _ = run([problem(422, "u", "u", errors=unknown)], "distill", "--dataset", "dst_1", "--teacher", "t")
    assert (code, capsys.readouterr().err) == (2, "limbeck: --student: no student is called resnet81\n")


def test_students_to_keep_are_requested_and_listed(capsys: Capture) -> None:
    options = ("--dataset", "dst_1", "--teacher", "t", "--save-every", "4", "--dry-run")
    code, seen = run([Say(200, CHECK)], "distill", *options, "--keep", "2")
    assert (code, json.loads(seen[0].body)["save_checkpoints"]) == (0, {"every_epochs": 4, "keep": 2})
    assert json.loads(run([Say(200, CHECK)], "distill", *options)[1][0].body)["save_checkpoints"] == {"every_epochs": 4}
    capsys.readouterr()
    assert run([], "distill", "--dataset", "dst_1", "--teacher", "t", "--keep", "2")[0] == 2
    assert capsys.readouterr().err == "limbeck: --keep is for --save-every: give both, or leave it out\n"
    refused = [{"pointer": "/save_checkpoints/every_epochs", "detail": "the training has 3 epochs"}]
    assert run([problem(422, "u", "u", errors=refused)], "distill", *options)[0] == 2
    assert capsys.readouterr().err == "limbeck: --save-every: the training has 3 epochs\n"

    metrics = {"accuracy": 0.625, "top5": 1.0, "chance": 0.25, "num_images": 8, "num_labels": 4}
    file = {"path": "image/model.safetensors", "sha256": "d", "size": 2_500_000, "url": "/v1/…"}
    rows = [
        {
            "job_id": "job_1",
            "epoch": epoch,
            "step": 9,
            "metrics": one,
            "files": [file],
            "created_at": "2026-11-23T21:04:05Z",
        }
        for epoch, one in ((4, None), (8, metrics))
    ]
    listed = Say(200, {"data": rows, "has_more": False, "first_id": "4", "last_id": "8"})
    code, seen = run([listed], "jobs", "checkpoints", "job_1")
    assert (code, seen[0].path.partition("?")[0]) == (0, "/v1/jobs/job_1/checkpoints")
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:4] == ["8", "9", "62.5%", "100.0%"]
    assert " ".join(last[4:6]) == "2.5 MB"


def test_a_dry_run_creates_no_job(capsys: Capture) -> None:
    code, seen = run([Say(200, CHECK)], "distill", "--dataset", "dst_1", "--teacher", "t", "--dry-run")
    assert (code, [one.path for one in seen]) == (0, ["/v1/jobs?dry_run=true&measure=true"])
    assert "recipe limbeck" in capsys.readouterr().out


def test_a_dry_run_prints_what_a_training_will_do_and_why(capsys: Capture) -> None:
    training = {
        "batch_size": 128,
        "steps_per_epoch": 165,
        "total_steps": 14_850,
        "images_seen": 1_854_900,
        "teacher_cached": 4122,
        "teacher_live": 0,
        "measured": 7666,
        "decoded_bytes": 810_418_176,
        "feature_bytes": 4122 * 512 * 2,
        "views_s": 60.0,
        "steps_s": 1200.0,
        "origins": {"student": "recipe li2023_resnet", "epochs": "given", "lr": "recipe li2023_resnet"},
        "settings": {"student": "resnet18", "epochs": 90, "lr": 0.05},
    }
    script = [Say(200, CHECK | {"training": training})]
    assert run(script, "distill", "--dataset", "dst_1", "--teacher", "t", "--dry-run")[0] == 0
    printed = capsys.readouterr().out
    assert "14,850 steps of 128 images, 165 per epoch; the student sees 1,854,900 images, and 7,666 are" in printed
    assert "the teacher encodes 4,122 views and the 7,666 measured images once (less if cached)\n" in printed
    assert "0.81 GB" in printed
    assert "about 21 min: 60 s for the views (less if cached) and 20 min for the steps, measured on this" in printed
    assert "the teacher's features 4.2 MB\n" in printed
    assert "recipe li2023_resnet: student=resnet18, lr=0.05\n" in printed
    assert "given: epochs=90\n" in printed
    assert "fits" not in printed
    for cached, live, measured, passes in (
        (0, 900, 7666, "the 7,666 measured images once (less if cached), and 900 views for one step each"),
        (60, 900, 0, "60 views once (less if cached), and 900 views for one step each"),
        (0, 0, 7666, "no image"),  # a closed-set baseline has no teacher
    ):
        changed = training | {"teacher_cached": cached, "teacher_live": live, "measured": measured}
        run([Say(200, CHECK | {"training": changed})], "distill", "--dataset", "dst_1", "--teacher", "t", "--dry-run")
        assert f"the teacher encodes {passes}\n" in capsys.readouterr().out
    fitted = training | {"views_s": None, "steps_s": None, "settings": {"epochs": 200, "time_budget_s": 1800.0}}
    run([Say(200, CHECK | {"training": fitted})], "distill", "--dataset", "dst_1", "--teacher", "t", "--dry-run")
    fits = "the worker fits epochs, steps and teacher views to the time budget; without that it would make\n"
    assert f"{fits}  14,850 steps" in capsys.readouterr().out


def test_an_evaluation_prints_accuracies_or_json(capsys: Capture) -> None:
    script = followed({"evaluation": evaluation(0.75, 0.5) | {"num_training_images": 3}})
    assert run(script, "evaluate", "ckp_1", "--dataset", "dst_2")[0] == 0
    printed = capsys.readouterr().out
    assert "75.0%" in printed
    assert "3 images were left out" in printed
    assert run(script, "evaluate", "ckp_1", "--dataset", "dst_2", "--json")[0] == 0
    assert json.loads(capsys.readouterr().out)["result"]["evaluation"]["id"]["accuracy"] == 0.75
    assert run([], "evaluate", "--dataset", "dst_2")[0] == 2


def test_an_evaluation_asks_for_further_sets_and_prints_them(capsys: Capture) -> None:
    script = followed({"evaluation": {**evaluation(0.75, 0.5), **FURTHER}})
    options = ["--domain", "dst_3", "--domain", "dst_4", "--far", "dst_5", "--corruptions", "40", "--baseline", "job_9"]
    code, seen = run(script, "evaluate", "ckp_1", "--dataset", "dst_2", *options)
    assert code == 0
    assert json.loads(seen[0].body)["domain_dataset_ids"] == ["dst_3", "dst_4"]
    assert (json.loads(seen[0].body)["far_dataset_id"], json.loads(seen[0].body)["baseline_job_id"]) == (
        "dst_5",
        "job_9",
    )
    assert json.loads(seen[0].body)["corruption_images"] == 40
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["near", "(30)", "outliers", "93.4%", "31.0%", "77.0%", "60.0%", "70.3%"] in rows
    assert ["sketch", "50.0%", "90.0%", "40.0%", "4", "20"] in rows
    assert ["fog", "10.0%", "20.0%", "30.0%", "40.0%", "50.0%", "30.0%", "0.75"] in rows
    assert ["image", "to", "image,", "seen", "labels", "61.0%", "80.0%", "90.0%", "5.0%", "60"] in rows


def test_new_words_are_encoded_with_the_teacher_of_a_student(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "new.txt").write_text("Great_Auk\ngreat auk\n")
    targets = {
        **{"id": "txt_1", "job_id": "job_1", "teacher_id": "tch_1", "vocabulary_id": "voc_1", "text": "names"},
        **{"attribute_set_id": None, "num_labels": 2, "width": 8, "report": {}, "digest": "d", "size": 1},
        "created_at": "2026-11-23T21:04:05Z",
    }
    script = [Say(201, VOCABULARY), *followed({"text_targets_id": "txt_1"}), Say(200, targets)]
    code, seen = run(script, "encode", str(tmp_path / "new.txt"), "--checkpoint", "ckp_1")
    assert code == 0
    body = json.loads(seen[1].body)
    assert (body["checkpoint_id"], body["vocabulary_id"], "teacher" in body) == ("ckp_1", "voc_1", False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "read as plain text, one label per line; 2 labels; warning: 1 name is written in several ways" in printed
    assert "limbeck texts download txt_1" in printed


def test_a_dataset_is_created_with_a_folder_map(capsys: Capture) -> None:
    options = ("--folder-map", '{"012.Crane": "crane"}', "--only-matching")
    code, seen = run([Say(200, DATASET | {"reused": True})], "dataset", "create", "voc_1", "birds", *options)
    body = json.loads(seen[0].body)
    assert (code, body["folder_map"], body["images"]) == (0, {"012.Crane": "crane"}, {"unmatched": "skip"})
    printed = capsys.readouterr().out
    assert "dst_1, which exists" in printed
    assert "next: limbeck distill --dataset dst_1 --teacher TEACHER" in printed
    measured_only = DATASET | {"counts": DATASET["counts"] | {"train": 0}, "reused": False}
    run([Say(201, measured_only)], "dataset", "create", "voc_1", "birds", "--split", '{"by":"all","part":"test"}')
    assert "next: limbeck evaluate CHECKPOINT --dataset dst_1" in capsys.readouterr().out
    unmatched = [{"pointer": "/folder_map", "detail": "2 names"}]
    rejection = problem(422, "folder_matches_no_label", "2 names", errors=[unmatched[0]])
    assert run([rejection], "dataset", "create", "voc_1", "birds")[0] == 2
    assert "--only-matching leaves out what has no match" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("by_text", "is_worse"), [((0.5, 0.9), True), ((0.9, 0.5), True), ((0.88, 0.88), False), ((0.9, 0.9), False)]
)
def test_attributes_that_make_the_teacher_worse_are_named(by_text: tuple[float, float], is_worse: bool) -> None:
    names: dict[str, Any] = evaluation(0.9, 0.9)
    sentence = names_are_better("sentence", evaluation(*by_text), names)
    assert bool(sentence) is is_worse
    assert not is_worse or "use --text names" in sentence
    assert names_are_better("sentence", {"id": None, "ood": None}, {"id": None, "ood": None}) == ""


def test_a_teacher_of_images_with_several_labels_is_compared_by_map() -> None:
    def measured(mean_ap: float) -> dict[str, Any]:
        part = {"mean_ap": mean_ap, "intervals": {"images": [mean_ap - 0.1, mean_ap + 0.1]}}
        return {"id": None, "ood": None, "multi_label": {"id": part, "ood": None}}

    sentence = names_are_better("sentence", measured(0.3), measured(0.6))
    assert "30.0% mAP (20.0% to 40.0%) against 60.0% mAP (50.0% to 70.0%) on seen labels" in sentence
    assert names_are_better("sentence", measured(0.5), measured(0.6)) == ""
