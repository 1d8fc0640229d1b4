"""`limbeck run` with a scripted service."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import main
from limbeck.commands.image_options import parse_split
from tests.limbeck.helpers import VOCABULARY, bundle_script, page
from tests.limbeck.helpers import job as job_of
from tests.limbeck.scripted import Say, Scripted, Seen, problem, scripted

Capture = pytest.CaptureFixture[str]


DATASET = {
    "id": "dst_1",
    "vocabulary_id": "voc_1",
    "name": "birds",
    "path": "birds",
    "split": {},
    "digest": "d",
    "warnings": [],
    "counts": {"train": 70, "held_out": 30, "ood": 100, "id_labels": 1, "ood_labels": 1},
    "created_at": "2026-11-23T21:04:05Z",
}


def plan(*same_job_ids: str | None, counts: dict[str, int] | None = None, labels: tuple[int, ...] = (0, 1)) -> Say:
    """The response to the plan of a run, with a job for each id."""
    jobs = [{"kind": "distill", "spec": {}, "same_job_id": id, "estimate": None} for id in same_job_ids or (None,)]
    dataset = {"counts": counts or DATASET["counts"], "warnings": [], "labels": labels, "same_id": None}
    return Say(200, {"vocabulary": {"num_labels": 2, "same_id": None}, "dataset": dataset, "jobs": jobs})


def evaluation(seen: float, unseen: float) -> dict[str, Any]:
    def part(accuracy: float) -> dict[str, Any]:
        interval = {"images": [accuracy - 0.02, accuracy + 0.02]}
        return {"accuracy": accuracy, "chance": 0.5, "num_labels": 2, "num_images": 30, "intervals": interval}

    return {"text": "sentence", "id": part(seen), "ood": part(unseen)}


def followed(result: dict[str, Any]) -> list[Say]:
    """Responses for a job that succeeds at the first poll, without events."""
    no_events = Say(200, page())
    return [Say(202, job_of("queued")), Say(200, job_of("succeeded", result=result)), no_events]


def run(script: list[Say], tmp_path: Path, *more: str) -> tuple[int, Scripted]:
    labels = tmp_path / "birds.txt"
    labels.write_text("crane\nauk\n")
    with scripted(script) as server:
        code = main(
            [
                "run",
                "--labels",
                str(labels),
                "--images",
                "birds",
                "--teacher",
                "ViT-B-32:openai",
                "--domain",
                "birds",
                "--out",
                str(tmp_path / "out"),
                "--url",
                server.url,
                *more,
            ]
        )
    return code, server


def posted_jobs(server: Scripted) -> list[Seen]:
    return [one for one in server.seen if one.method == "POST" and one.path.startswith("/v1/jobs")]


@pytest.mark.slow
def test_the_complete_workflow(tmp_path: Path, capsys: Capture) -> None:
    names = ["README.md", "image/config.json", "pairing/open_clip_config.json", "targets/labels.json"]
    download, contents = bundle_script(names)
    described = {"attribute_set_id": "ats_1", "num_labels": 2, "num_described": 1, "failed_labels": {"refused": 1}}
    trained = evaluation(0.9, 0.6) | {"teacher": [evaluation(0.95, 0.85)]}
    script = [
        plan(),
        Say(201, VOCABULARY),
        Say(201, DATASET),
        *followed(described),
        *followed({"evaluation": evaluation(0.95, 0.55)}),
        *followed({"evaluation": evaluation(0.55, 0.85)}),
        *followed({"checkpoint_id": "ckp_1", "evaluation": trained}),
        *download,
        *(Say(200, contents[name]) for name in names if not name.startswith("pairing")),
    ]
    options = ("--student", "resnet18", "--set", "epochs=3", "--set", "losses.mse=0")
    code, server = run(script, tmp_path, *options)
    printed = capsys.readouterr()
    assert (code, printed.err) == (3, "limbeck: of 2 labels, 1 without attributes; the reasons are above\n")
    assert [one.path.partition("?")[0] for one in server.seen if one.method == "POST"] == [
        "/v1/plan",
        "/v1/vocabularies",
        "/v1/datasets",
        *4 * ["/v1/jobs"],
    ]
    assert {one.path for one in posted_jobs(server)} == {"/v1/jobs?reuse=true"}
    enrich, by_text, by_names, distill = (json.loads(one.body) for one in posted_jobs(server))
    assert enrich == {"kind": "enrich", "vocabulary_id": "voc_1", "strategies": ["describe"]}
    assert distill == {
        "kind": "distill",
        "dataset_id": "dst_1",
        "teacher": "ViT-B-32:openai",
        "text": "sentence",
        "attribute_set_id": "ats_1",
        "recipe": "limbeck",
        "config": {"epochs": 3, "losses": {"mse": 0}, "student": "resnet18"},
    }
    evaluate = {"kind": "evaluate", "dataset_id": "dst_1", "teacher": "ViT-B-32:openai"}
    assert by_text == evaluate | {"text": "sentence", "attribute_set_id": "ats_1"}
    assert by_names == evaluate
    planned = json.loads(server.seen[0].body)
    assert [job["kind"] for job in planned["jobs"]] == ["enrich", "distill"]
    assert planned["jobs"][1] == distill | {"dataset_id": "planned", "attribute_set_id": "planned"}
    assert "1 without attributes" in printed.out
    for figure in ("90.0%", "60.0%", "95.0%", "85.0%", "55.0%", "50.0%"):
        assert figure in printed.out, figure
    assert "by sentence 55.0% (53.0% to 57.0%) against 85.0% (83.0% to 87.0%) on unseen labels" in printed.out
    assert printed.out.count("job_1\n") == 4  # the id of each job
    assert (tmp_path / "out" / "targets" / "labels.json").is_file()
    assert not (tmp_path / "out" / "pairing").exists()


def test_source_says_how_the_images_are_given(tmp_path: Path, capsys: Capture) -> None:
    pointed = {"pointer": "/dataset/images/file", "detail": "missing"}
    source = {"layout": "table", "file": "birds.csv"}
    code, server = run(
        [problem(422, "missing_table", "no table", errors=[pointed])], tmp_path, "--source", json.dumps(source)
    )
    assert json.loads(server.seen[-1].body)["dataset"]["images"] == source
    assert (code, capsys.readouterr().err) == (2, "limbeck: --source: missing\n")


@pytest.mark.parametrize(("source", "message"), [("{", "--source is not JSON"), ("[1]", "give a JSON object")])
def test_unusable_source_is_refused_before_the_service_is_asked(
    tmp_path: Path, capsys: Capture, source: str, message: str
) -> None:
    code, server = run([], tmp_path, "--source", source)
    assert (code, server.seen) == (2, [])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_text_names_needs_no_llm_and_no_second_evaluation(tmp_path: Path, capsys: Capture) -> None:
    names = ["README.md", "image/config.json", "targets/labels.json"]
    download, contents = bundle_script(names)
    trained = evaluation(0.9, 0.6) | {"teacher": [evaluation(0.95, 0.85)]}
    script = [plan(), Say(201, VOCABULARY), Say(201, DATASET)]
    script += followed({"checkpoint_id": "ckp_1", "evaluation": trained})
    code, server = run([*script, *download, *(Say(200, contents[name]) for name in names)], tmp_path, "--text", "names")
    assert code == 0
    assert [json.loads(one.body)["kind"] for one in posted_jobs(server)] == ["distill"]


def test_what_the_plan_refuses_is_named_by_its_option_and_nothing_is_created(tmp_path: Path, capsys: Capture) -> None:
    for pointer, option in (
        ("/dataset/path", "--images"),
        ("/jobs/1/config/student", "--student"),
        ("/jobs/1/config/schedule/epoch", "--set schedule.epoch"),
        ("/vocabulary/labels/0/name", "--labels"),
    ):
        rejection = problem(422, "code", "all", errors=[{"pointer": pointer, "detail": "it is missing"}])
        code, server = run([rejection], tmp_path)
        assert (code, capsys.readouterr().err) == (2, f"limbeck: {option}: it is missing\n")
        assert [one.path for one in server.seen] == ["/v1/plan"]


def test_the_contents_of_images_are_refused_before_any_llm_call(tmp_path: Path, capsys: Capture) -> None:
    rejection = problem(422, "duplicates", "copies", errors=[{"pointer": "/duplicates", "detail": "copies"}])
    code, server = run([plan(), Say(201, VOCABULARY), rejection], tmp_path)
    assert code == 2
    assert "copies" in capsys.readouterr().err
    assert posted_jobs(server) == []


def test_the_closed_set_baseline_has_no_bundle_to_download(tmp_path: Path, capsys: Capture) -> None:
    plain = evaluation(0.9, 0.6) | {"ood": None, "teacher": [evaluation(0.95, 0.85)]}
    script = [plan(), Say(201, VOCABULARY), Say(201, DATASET), *followed({"evaluation": plain})]
    code, server = run(script, tmp_path, "--text", "names", "--set", "protocol=closed_set")
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    assert "90.0%" in printed.out
    assert "limbeck classify" not in printed.out
    assert "no student is delivered" in printed.out
    assert "--baseline job_" in printed.out
    assert not any("checkpoints" in one.path for one in server.seen)


NOTHING_MEASURED = DATASET | {"counts": {"train": 70, "held_out": 0, "ood": 0, "id_labels": 2, "ood_labels": 0}}


@pytest.mark.slow
@pytest.mark.image_input(
    "Splits and evaluation",
    "`limbeck run --split all`: all labels and images are for training",
    "the student is downloaded, and the command says that it was not measured",
)
def test_a_student_trained_on_everything_is_downloaded(tmp_path: Path, capsys: Capture) -> None:
    names = ["README.md", "image/config.json", "targets/labels.json"]
    download, contents = bundle_script(names)
    nothing = {"id": None, "ood": None}
    described = {"attribute_set_id": "ats_1", "num_labels": 2, "num_described": 2, "failed_labels": {}}
    script = [
        plan(),
        Say(201, VOCABULARY),
        Say(201, NOTHING_MEASURED),
        *followed(described),
        *followed({"checkpoint_id": "ckp_1", "evaluation": {**nothing, "teacher": [nothing]}}),
        *download,
        *(Say(200, contents[name]) for name in names),
    ]
    code, server = run(script, tmp_path, "--split", "all")
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    assert "not measured" in printed.out
    assert [json.loads(one.body)["kind"] for one in posted_jobs(server)] == ["enrich", "distill"]
    assert (tmp_path / "out" / "targets" / "labels.json").is_file()


def test_a_dataset_for_evaluation_only_is_refused_before_any_llm_call(tmp_path: Path, capsys: Capture) -> None:
    counts = {"train": 0, "held_out": 0, "ood": 100, "id_labels": 0, "ood_labels": 2}
    split = '{"by": "all", "part": "test"}'
    code, server = run([plan(counts=counts)], tmp_path, "--split", split)
    assert code == 2
    assert "no image is left to train on" in capsys.readouterr().err
    assert posted_jobs(server) == []


def test_unlabelled_folders_are_registered_and_counted(tmp_path: Path, capsys: Capture) -> None:
    dataset = DATASET | {"counts": {**DATASET["counts"], "unlabelled": 1234}}
    script = [plan(), Say(201, VOCABULARY), Say(201, dataset), problem(422, "teacher_unknown", "no such teacher")]
    _, server = run(script, tmp_path, "--text", "names", "--unlabelled", "street", "--unlabelled", "web")
    assert json.loads(server.seen[2].body)["unlabelled"] == ["street", "web"]
    assert "1,234 unlabelled images" in " ".join(capsys.readouterr().out.split())


def test_a_split_is_parsed_for_the_api() -> None:
    assert parse_split("folders") == {"by": "folders"}
    assert parse_split("seed=3, id_fraction=0.5") == {"by": "seed", "seed": 3, "id_fraction": 0.5}
    by_list = {"by": "list", "id": ["a"], "ood": ["b"]}
    assert parse_split(json.dumps(by_list)) == by_list


def test_the_check_of_the_images_is_chosen_and_its_warnings_are_printed(tmp_path: Path, capsys: Capture) -> None:
    dataset = DATASET | {"warnings": ["left out 1 image"]}
    rejection = problem(422, "teacher_unknown", "no such teacher")
    options = ("--check", "full", "--duplicates", "move", "--near-duplicates", "refuse", "--text", "names")
    code, server = run([plan(), Say(201, VOCABULARY), Say(201, dataset), rejection], tmp_path, *options)
    assert json.loads(server.seen[0].body)["dataset"].get("duplicates") is None  # the plan opens no image
    assert code == 2
    (body,) = (json.loads(one.body) for one in server.seen if one.path == "/v1/datasets")
    assert (body["duplicates"], body["near_duplicates"], "check" in body) == ("move", "refuse", False)
    printed = capsys.readouterr().out
    assert "warning: left out 1 image" in printed
    assert "limbeck dataset report dst_1" in printed
    assert run([], tmp_path, "--duplicates", "drop")[0] == 2
    assert "--duplicates 'drop': choose one of refuse, move, keep" in capsys.readouterr().err


def test_a_dry_run_opens_the_images_and_creates_nothing(tmp_path: Path, capsys: Capture) -> None:
    code, server = run([plan()], tmp_path, "--dry-run", "--duplicates", "move")
    assert (code, [one.path for one in server.seen]) == (0, ["/v1/plan?measure=true"])
    dataset = json.loads(server.seen[0].body)["dataset"]
    assert (dataset["check"], dataset["duplicates"]) == ("full", "move")
    assert "70 training images" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_only_matching_leaves_labels_without_images_out(tmp_path: Path) -> None:
    rejection = problem(422, "teacher_unknown", "no such teacher")
    _, server = run([plan(labels=(1,)), plan(labels=(0,)), rejection], tmp_path, "--only-matching")
    first, second, created = (json.loads(one.body) for one in server.seen)
    assert first["dataset"]["images"] == {"unmatched": "skip"}
    assert [label["name"] for label in second["vocabulary"]["labels"]] == ["auk"]
    assert [label["name"] for label in created["labels"]] == ["auk"]


def test_a_folder_map_is_json_or_a_file(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "map.csv"
    file.write_text("012.Crane,crane\n")
    for given in ('{"012.Crane": "crane"}', str(file)):
        _, server = run([problem(422, "no", "no")], tmp_path, "--folder-map", given)
        assert json.loads(server.seen[0].body)["dataset"]["folder_map"] == {"012.Crane": "crane"}
    capsys.readouterr()
    file.write_text("012.Crane\n")
    assert run([], tmp_path, "--folder-map", str(file))[0] == 2
    assert "give two columns" in capsys.readouterr().err


def test_an_unusable_destination_is_refused_before_the_service_is_asked(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"x")
    assert run([], tmp_path)[0] == 2
    assert "holds other files" in capsys.readouterr().err
    (out / "manifest.json").write_text("{}")
    assert run([plan(), Say(201, VOCABULARY), Say(201, DATASET), plan()], tmp_path)[0] == 2
    assert "holds the student of another run" in capsys.readouterr().err


def test_a_run_continues_jobs_with_the_same_inputs(tmp_path: Path, capsys: Capture) -> None:
    running = Say(200, job_of("running", kind="distill") | {"reused": True})
    trained = evaluation(0.9, 0.6) | {"teacher": [evaluation(0.95, 0.85)]}
    done = [Say(200, job_of("succeeded", result={"evaluation": trained})), Say(200, page())]
    script = [
        plan("job_1"),
        Say(200, VOCABULARY | {"reused": True}),
        Say(200, DATASET | {"reused": True}),
        running,
        *done,
    ]
    code, _ = run(script, tmp_path, "--text", "names")
    printed = capsys.readouterr().out
    assert code == 0
    assert "continues distill job job_1 (running)" in printed
    assert "dataset dst_1, which exists" in " ".join(printed.split())
    rejection = problem(422, "teacher_unknown", "no such teacher")
    _, server = run(
        [plan(), Say(201, VOCABULARY), Say(201, DATASET), rejection], tmp_path, "--text", "names", "--fresh"
    )
    assert server.seen[-1].path == "/v1/jobs"


def test_given_attributes_need_no_llm(tmp_path: Path, capsys: Capture) -> None:
    rejection = problem(422, "teacher_unknown", "no such teacher")
    script = [plan(), Say(201, VOCABULARY), Say(201, DATASET), rejection]
    _, server = run(script, tmp_path, "--attributes", "ats_7")
    assert [job["kind"] for job in json.loads(server.seen[0].body)["jobs"]] == ["distill"]
    assert json.loads(server.seen[-1].body)["attribute_set_id"] == "ats_7"
    capsys.readouterr()
    assert run([], tmp_path, "--attributes", "nowhere.json")[0] == 2
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "reason"), [('{"crane": ["a', "is not JSON"), ('{"ibis": ["a"]}', '"ibis" is not')]
)
def test_a_file_of_attributes_is_read_before_anything_is_stored(
    content: str, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    (file := tmp_path / "given.json").write_text(content)
    for more in (["--dry-run"], []):
        code, server = run([plan()], tmp_path, "--attributes", str(file), *more)
        assert (code, len(server.seen)) == (2, 1)
        error = capsys.readouterr().err
        assert error.startswith(f"limbeck: --attributes {file}: ")
        assert reason in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attributes", "ats_7", "--strategies", "describe"], "--strategies is for the LLM, and with --attributes"),
        (["--text", "names", "--language", "German"], "--language is for the LLM, and with --text names"),
        (["--student", "resnet50", "--set", "student=resnet18"], "--set student contradicts --student"),
        (["--pretrained", "--set", "pretrained=false"], "--set pretrained contradicts --pretrained"),
        (["--time-budget", "1h", "--set", "time_budget_s=60"], "--set time_budget_s contradicts --time-budget"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert run([], tmp_path, *options)[0] == 2
    assert capsys.readouterr().err.startswith(f"limbeck: {message}")
