"""The release workflow: its steps are well-formed, and it resolves the base images of the compose file to digests."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment import compose
from tests.deployment.compose import ROOT

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    return found


def scripts(jobs: dict[str, Any]) -> list[str]:
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def test_the_shell_can_parse_every_step(jobs: dict[str, Any]) -> None:
    for script in scripts(jobs):
        done = subprocess.run(
            ["bash", "-n"], input=re.sub(r"\$\{\{.*?\}\}", "X", script), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def _resolve(jobs: dict[str, Any], folder: Path, digest: str) -> "subprocess.CompletedProcess[str]":
    """Run the step that resolves digests, with a `docker` that answers `digest` for every image."""
    (script,) = [script for script in scripts(jobs) if "imagetools" in script]
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && echo "{digest}"\n')
    program.chmod(0o755)
    (folder / "docker-compose.yml").write_text(compose.FILE.read_text())
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output")}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True)


def test_base_images_get_digests(jobs: dict[str, Any], tmp_path: Path) -> None:
    assert _resolve(jobs, tmp_path, DIGEST).returncode == 0
    found = compose.read_env(tmp_path / "images.env")
    defaults = {
        name: f"{image}@{DIGEST}"
        for name, image in (
            ("PYTHON_IMAGE", "python:3.11-slim-bookworm"),
            ("POSTGRES_IMAGE", "postgres:17-alpine"),
            ("REDIS_IMAGE", "redis:8-alpine"),
        )
    }
    assert found == defaults
    assert (tmp_path / "output").read_text() == f"python={defaults['PYTHON_IMAGE']}\n"
    pinned = compose.load({**found, "LIMBECK_DATABASE_PASSWORD": "x"})["services"]
    assert pinned["postgres"]["image"] == defaults["POSTGRES_IMAGE"]
    assert pinned["api"]["build"]["args"]["PYTHON_IMAGE"] == defaults["PYTHON_IMAGE"]


def test_an_image_without_a_digest_ends_the_release(jobs: dict[str, Any], tmp_path: Path) -> None:
    done = _resolve(jobs, tmp_path, "")
    assert done.returncode == 1
    assert "no digest of PYTHON_IMAGE" in done.stderr


def test_both_images_are_built_with_the_digest_and_recorded(jobs: dict[str, Any]) -> None:
    (build,) = [step["with"] for step in jobs["image"]["steps"] if "build-push" in step.get("uses", "")]
    assert jobs["image"]["strategy"]["matrix"]["target"] == ["service", "gpu"]
    assert "PYTHON_IMAGE=${{ needs.resolve.outputs.python }}" in build["build-args"]
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"
    (record,) = [script for script in scripts(jobs) if "_IMAGE=${IMAGE" in script]
    env = {"TARGET": "gpu", "IMAGE": f"ghcr.io/Owner/limbeck-gpu@{DIGEST}", "PATH": os.environ["PATH"]}
    shown = subprocess.run(["bash", "-c", record.replace("> images.env", "")], env=env, capture_output=True, text=True)
    assert shown.stdout == f"GPU_IMAGE=ghcr.io/owner/limbeck-gpu@{DIGEST}\n"
