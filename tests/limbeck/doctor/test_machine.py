"""The checks of versions, settings, disks, GPU and access to teachers."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from limbeck.doctor import machine
from limbeck.doctor.diagnosis import Diagnosis
from store.settings import Settings


def settings(home: Path, **changes: Any) -> Settings:
    return Settings(**{"home": home, "artefacts_url": "", "cache_dir": None, "data_root": None, **changes})


def disks(config: Settings) -> dict[str, Diagnosis]:
    return {one.name: one for one in machine.check_disk(config)}


def test_versions_that_are_not_as_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.lock").write_text(
        "pydantic==0.1 \\\n    --hash=sha256:0\nno-such-package==2.0\npytest==1 ; sys_platform == 'win32'\n"
    )
    monkeypatch.setattr(machine, "_LOCKS", tmp_path)
    (found,) = machine.check_versions()
    assert found.status == "warning"
    assert "pydantic" in found.detail
    assert "no-such-package none (locked 2.0)" in found.detail
    assert "pytest" not in found.detail


def test_unknown_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOM", "secret")
    (found,) = machine.check_settings(settings(tmp_path))
    assert (found.status, found.detail) == ("warning", "LIMBECK_HOM: unknown setting; did you mean LIMBECK_HOME?")


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "birds").mkdir()
    found = disks(settings(tmp_path))
    assert {one.status for one in found.values()} == {"ok"}
    assert found["data root"].detail.endswith("data: 1 entry")
    assert "(will be created)" in found["cache"].detail
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]  # nothing was created
    (tmp_path / "file").write_text("")
    found = disks(settings(tmp_path, cache_dir=tmp_path / "file" / "cache", data_root=tmp_path / "none"))
    assert (found["cache"].status, found["data root"].status) == ("failed", "warning")


@pytest.mark.parametrize(("free", "status"), [(10**11, "ok"), (10**9, "warning"), (10**8, "failed")])
def test_free_space(free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free))
    assert disks(settings(tmp_path))["home"].status == status


def test_a_remote_artefact_store(tmp_path: Path) -> None:
    assert disks(settings(tmp_path, artefacts_url="memory://store"))["artefacts"].status == "ok"
    failed = disks(settings(tmp_path, artefacts_url="ftp://user:hunter2@127.0.0.1:1/x"))["artefacts"]
    assert (failed.status, "hunter2" in failed.detail) == ("failed", False)


@pytest.mark.parametrize(
    ("code", "status", "detail"),
    [
        ('print(\'{"torch": "2", "cuda": null, "gpus": []}\')', "warning", "a build without CUDA"),
        ('print(\'{"torch": "2", "cuda": "13", "gpus": [["H200", 7e10, 14e10]]}\')', "ok", "H200, 70 of 140 GB free"),
        ("import no_such_module", "failed", "No module named 'no_such_module'"),
        ("import os; os.abort()", "failed", "exit code -6"),
    ],
)
def test_gpu(code: str, status: str, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_GPU_CODE", code)
    (found,) = machine.check_gpu()
    assert (found.status, detail in found.detail) == (status, True), found


def test_a_machine_without_the_gpu_part_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_installed", lambda part: part == "service")
    assert [one.status for one in (*machine.check_gpu(), *machine.check_teachers())] == ["ok", "ok"]


def test_access_to_teachers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    (tmp_path / "models--org--name").mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    (found,) = machine.check_teachers()
    assert (found.status, found.detail.startswith("127.0.0.1 cannot be reached")) == ("warning", True)
    assert "1 model in" in found.detail
    assert "hunter2" not in str(found)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (found,) = machine.check_teachers()
    assert found.status == "ok"
