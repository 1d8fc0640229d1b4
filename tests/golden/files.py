"""Read and write the golden JSON files, and describe the machine on which they were recorded."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "stepping")


def read(name: str) -> Any:
    """The content of the golden file `name`."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def write(name: str, content: Any) -> None:
    """Write the golden file `name`."""
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    (HERE / name).write_text(text, encoding="utf-8")


def plain(content: Any) -> Any:
    """The content after a JSON round trip: tuples become lists, keys become strings."""
    return json.loads(json.dumps(content))


def machine() -> dict[str, str]:
    """The processor and the version of torch, on which the exact result of a training on the CPU depends."""
    return {"cpu": _cpu(), "capability": torch.backends.cpu.get_cpu_capability(), "torch": str(torch.__version__)}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return " | ".join([platform.machine(), *(f"{name} {fields[name]}" for name in CPU_FIELDS if name in fields)])
