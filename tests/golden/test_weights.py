"""Complete runs of `python -m distill` have the tensors that `weights.json` records.

The exact result of a training depends on the processor and on the version of torch. On the machine that the file names,
every tensor of the bundle must have the recorded sha256. On another machine the losses are compared instead, with the
relative tolerance `ELSEWHERE`, and the output of the test contains a warning.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.golden import files, training

GOLDEN = files.read("weights.json")
ELSEWHERE = 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def test_every_run_is_recorded() -> None:
    assert sorted(GOLDEN["runs"]) == sorted(training.WEIGHT_RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(training.WEIGHT_RUNS))
def test_a_run_ends_with_the_recorded_tensors(name: str, folder: Path) -> None:
    golden: dict[str, Any] = GOLDEN["runs"][name]
    found = files.plain(training.whole_run(folder, training.WEIGHT_RUNS[name]))
    assert found["files"] == golden["files"]
    assert {path: sorted(tensors) for path, tensors in found["tensors"].items()} == {
        path: sorted(tensors) for path, tensors in golden["tensors"].items()
    }
    if files.machine() == GOLDEN["machine"]:
        assert found["tensors"] == golden["tensors"]
        assert found["losses"] == golden["losses"]
        assert found["accuracies"] == golden["accuracies"]
    else:
        print(f"this machine is {files.machine()}, not {GOLDEN['machine']}: losses are compared, not tensors")
        assert training.differences(found["losses"], golden["losses"], rel=ELSEWHERE) == []
