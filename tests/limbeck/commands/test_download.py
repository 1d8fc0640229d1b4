"""`limbeck download`: parts, files in the way, interruption and progress, with a scripted service."""

import json
from pathlib import Path

import pytest

from limbeck.cli import main
from limbeck.commands import download
from limbeck.commands.quantities import bytes_of, duration_s, local_time, size_text
from limbeck.commands.tables import simple_table
from tests.limbeck.helpers import bundle_script, failed
from tests.limbeck.scripted import Say, scripted

Capture = pytest.CaptureFixture[str]
NAMES = ["image/config.json", "targets/labels.json", "README.md"]


def test_a_bundle_is_downloaded_and_then_complete(tmp_path: Path, capsys: Capture) -> None:
    script, contents = bundle_script(NAMES)
    folder = tmp_path / "student"
    with scripted([*script, *(Say(200, content) for content in contents.values())]) as server:
        assert main(["download", "ckp_1", "--out", str(folder), "--url", server.url]) == 0
    line = capsys.readouterr().out
    assert line.startswith("4 files, ")
    assert f"kB in {folder}, verified against the manifest (" in line
    with scripted(script) as server:
        assert main(["download", "ckp_1", "--out", str(folder), "--json", "--url", server.url]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert sorted(shown["files"]) == sorted(["manifest.json", *NAMES])


def test_a_student_of_an_epoch_is_downloaded_whole(tmp_path: Path, capsys: Capture) -> None:
    script, contents = bundle_script(["image/config.json", "targets/labels.json"])
    kept = {"job_id": "job_1", "epoch": 4, "step": 12, "metrics": None, "created_at": "2026-11-23T21:04:05Z"}
    kept |= {"files": script[0].body["files"]}
    with scripted([Say(200, kept), script[1], *(Say(200, content) for content in contents.values())]) as server:
        arguments = ["download", "job_1", "--epoch", "4", "--out", str(tmp_path / "student"), "--url", server.url]
        assert main(arguments) == 0
    paths = [one.path for one in server.seen]
    assert paths[0] == "/v1/jobs/job_1/checkpoints/4"
    assert set(paths[1:]) == {f"{paths[0]}/files/{name}" for name in ("manifest.json", *contents)}
    assert capsys.readouterr().out.startswith("3 files, ")
    for given in (["job_1", "--out", "x"], ["job_1", "--epoch", "4", "--parts", "onnx", "--out", "x"]):
        assert failed(["download", *given], capsys)[0] == 2


def test_a_file_of_the_user_is_kept(tmp_path: Path, capsys: Capture) -> None:
    script, contents = bundle_script(NAMES)
    (tmp_path / "README.md").write_text("mine")
    with scripted([*script, *(Say(200, content) for content in contents.values())]) as server:
        code, line = failed(["download", "ckp_1", "--out", str(tmp_path), "--url", server.url], capsys)
    assert code == 1
    assert "README.md" in line
    assert (tmp_path / "README.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_part_that_the_bundle_lacks_is_named_with_its_reason(tmp_path: Path, capsys: Capture) -> None:
    script, _ = bundle_script(NAMES, left_out={"onnx": "the student has no ONNX export"})
    with scripted(script) as server:
        arguments = ["download", "ckp_1", "--out", str(tmp_path), "--parts", "onnx,targets", "--url", server.url]
        code, line = failed(arguments, capsys)
    assert code == 1
    assert "the checkpoint has no part onnx (the student has no ONNX export)" in line


def test_an_interruption_says_how_to_continue(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("limbeck.client.synchronous.checkpoints.Checkpoints.download", interrupted)
    code, line = failed(["download", "ckp_1", "--out", str(tmp_path)], capsys)
    assert (code, line) == (130, "limbeck: the download is interrupted; the same command continues it\n")


def test_the_progress_of_a_long_download_is_plain_lines(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(download.time, "monotonic", lambda: now)
    lines = download._Lines()
    for second in range(0, 41, 10):
        now = float(second)
        lines.show("image/model.safetensors", second * 10**6, 100 * 10**6)
    assert capsys.readouterr().err.splitlines() == [
        "image/model.safetensors: 20.0 MB of 100.0 MB, 1.0 MB/s, 80 s left",
        "image/model.safetensors: 40.0 MB of 100.0 MB, 1.0 MB/s, 60 s left",
    ]


def test_quantities(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (duration_s("90d", "--x"), bytes_of("20 GB", "--x"), bytes_of("512", "--x")) == (7_776_000, 20 * 10**9, 512)
    assert [size_text(size) for size in (0, 999, 1500, 2_500_000, 10**13)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 MB",
        "10.0 TB",
    ]
    assert local_time(None) == ""


def test_a_table_aligns_wide_characters_and_keeps_ids() -> None:
    rows = [("voc_1", "12", "鳥"), ("voc_22", "3", "bird\nsecond line")]
    assert simple_table(("id", ">n", "name"), rows).splitlines() == [
        "id       n  name",
        "voc_1   12  鳥",
        "voc_22   3  bird second line",
    ]
