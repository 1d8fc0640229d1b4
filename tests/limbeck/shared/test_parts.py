"""The parts of an installation: their modules, and the messages for what is missing."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from limbeck.shared import parts
from limbeck.shared.exit_codes import PART_MISSING
from limbeck.shared.parts import (
    MODULES,
    Part,
    exit_if_not_installed,
    exit_if_part_is_missing,
    is_installed,
    missing_part,
)

ROOT = Path(__file__).resolve().parents[3]
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]


def _own_requirements(group: str) -> set[str]:
    """The distributions of a group and of the groups that it includes, except `client`."""
    found: set[str] = set()
    for item in GROUPS[group]:
        if isinstance(item, str):
            found.add(re.split(r"[\[<>=~! ]", item)[0].lower().replace("_", "-"))
        elif item["include-group"] != "client":
            found |= _own_requirements(item["include-group"])
    return found


def test_the_modules_are_those_of_the_dependency_groups() -> None:
    distributions = importlib.metadata.packages_distributions()
    known = {name.lower().replace("_", "-") for name in _own_requirements("all")}
    for part, modules in MODULES.items():
        for module in modules:
            names = {name.lower().replace("_", "-") for name in distributions[module]}
            transitive = module in ("kombu", "starlette")  # of celery and of fastapi
            assert transitive or names & known, f"{module} of {part}"
    every_module = {module for modules in MODULES.values() for module in modules}
    missing = {
        name
        for part in MODULES
        for name in _own_requirements(part)
        if not any(name in {one.lower().replace("_", "-") for one in distributions[module]} for module in every_module)
    }
    assert missing == {"python-multipart", "socksio"}  # fastapi and httpcore import them


def test_every_part_is_installed_here() -> None:
    assert all(map(is_installed, MODULES))


def test_messages_name_the_module_and_the_command() -> None:
    torch = missing_part(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert torch is not None
    assert torch.startswith("torch is not installed")
    assert torch.endswith("requirements/gpu.lock")
    package = missing_part(ModuleNotFoundError("No module named 'store'", name="store"))
    assert package is not None
    assert "checkout" in package
    assert missing_part(ModuleNotFoundError("No module named 'other'", name="other")) is None


def test_a_program_exits_with_one_line_and_a_bug_stays_visible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, exit_if_part_is_missing("program"):
        raise ModuleNotFoundError("No module named 'timm'", name="timm")
    assert ended.value.code == PART_MISSING
    assert capsys.readouterr().err.startswith("program: timm is not installed")
    with pytest.raises(ModuleNotFoundError), exit_if_part_is_missing("program"):
        raise ModuleNotFoundError("No module named 'other'", name="other")
    exit_if_not_installed("gpu", "program")
    monkeypatch.setattr(parts, "_is_found", lambda module: False)
    with pytest.raises(SystemExit) as ended:
        exit_if_not_installed("gpu", "program")
    assert ended.value.code == PART_MISSING
    assert capsys.readouterr().err.startswith("program: alembic is not installed")


@pytest.mark.slow
def test_commands_of_a_client_alone_fail_with_one_line(tmp_path: Path) -> None:
    """`limbeck` is copied beside nothing else, as the wheel installs it, and ONNX Runtime is hidden."""
    (tmp_path / "limbeck").symlink_to(ROOT / "limbeck")
    code = (
        "import os, sys; "
        f"sys.path[:] = [{str(tmp_path)!r}] + [p for p in sys.path if not os.path.isdir(os.path.join(p, 'store'))]; "
        "sys.modules['onnxruntime'] = None; "
        "from limbeck.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for arguments, message in (
        (["serve"], "runs in a checkout"),
        (["db", "check"], "runs in a checkout"),
        (["attributes", "check", "set.json"], "runs in a checkout"),
        (["classify", "student", "photo.jpg"], "-py3-none-any.whl[classify]'"),
    ):
        command = [sys.executable, "-c", code, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert ended.returncode == PART_MISSING, ended.stderr
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1


# Imported inside functions that the programs of the part do not call.
LATE_IMPORTS = {
    ("attributes.llm.batches.batch_api", "openai"),
    ("attributes.llm.transport", "openai"),
    ("attributes.parsing.repair", "json_repair"),
    ("distill.config.model_names", "open_clip"),
    ("distill.config.model_names", "timm"),
    ("limbeck.classify.sessions", "onnxruntime"),
    ("workers.runtime.child_process", "psutil"),
}
PROGRAMS: dict[Part, tuple[str, ...]] = {
    "service": (
        "api.server",
        "attributes.cli.check_gates",
        "attributes.cli.describe",
        "limbeck.commands.operate",
        "limbeck.commands.serve",
        "workers.embedded",
        "workers.enrich.parts",
        "workers.sweeper",
        "workers.tasks",
    ),
    "gpu": ("distill.benefit.__main__", "distill.cli.run", "workers.child", "workers.gpu.parts", "workers.tasks"),
}


@pytest.mark.parametrize(("part", "other"), [("service", "gpu"), ("gpu", "service")])
def test_the_programs_of_a_part_import_no_module_of_the_other(part: Part, other: Part) -> None:
    graph = grimp.build_graph(
        "api", "attributes", "distill", "limbeck", "store", "workers", include_external_packages=True
    )
    modules = set(PROGRAMS[part]).union(*map(graph.find_upstream_modules, PROGRAMS[part]))
    imports = {(module, name) for module in modules for name in graph.find_modules_directly_imported_by(module)}
    foreign = {one for one in imports if one[1] in set(MODULES[other]) - set(MODULES[part])}
    assert foreign - LATE_IMPORTS == set()
