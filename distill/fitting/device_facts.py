"""What automatic settings follow from: free memory and number formats of the device, and the size of the student.

B images of a batch.
"""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.config.automatic import DeviceFacts, StudentFacts
from distill.config.image_size import ImageSize
from distill.config.train_config import TrainConfig
from distill.student.model import configured_student

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_UNKNOWN_BYTES = 4 * 2**30


def device_facts(device: torch.device) -> DeviceFacts:
    """The facts of a device of this machine, as it is now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return DeviceFacts(kind="cuda", memory_bytes=free, has_bfloat16=torch.cuda.is_bf16_supported())
    return DeviceFacts(kind="cpu", memory_bytes=free_memory())


def free_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """Bytes of the machine's memory that processes can still use, within the limit of this container.

    4 GiB where the system does not tell.
    """
    found = [_UNKNOWN_BYTES]
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines() if ":" in line)
        found = [int(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        pass
    try:
        limit, used = ((cgroup / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        found += [max(int(limit) - int(used), 0)] if limit != "max" else []
    except (OSError, ValueError):
        pass
    return min(found)


def student_facts(config: TrainConfig, width: int, root: Path | None = None) -> StudentFacts:
    """Parameters and outputs of layers of the config's student with `width` outputs, without its weights.

    Raises StudentError.
    """
    model = configured_student(config.student, width=width, seed=0, root=root, initialise=False).model.eval()
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    try:
        num_activations = _outputs(copy.deepcopy(model).to("meta"), config, torch.device("meta"))
    except (RuntimeError, NotImplementedError):  # a layer that looks at its numbers
        num_activations = _outputs(model, config, torch.device("cpu"))
    return StudentFacts(num_parameters=num_parameters, num_activations=num_activations)


@torch.no_grad()
def _outputs(model: nn.Module, config: TrainConfig, device: torch.device) -> int:
    """Numbers in the outputs of all layers for one image, and in the image itself."""
    size: ImageSize = config.student.size
    image = torch.zeros(1, config.student.in_chans, size.height, size.width, device=device)
    count = 3 * image.numel()  # decoded, cropped and normalised

    def add(_layer: nn.Module, _inputs: object, output: object) -> None:
        nonlocal count
        if isinstance(output, Tensor):
            count += output.numel()

    handles = [layer.register_forward_hook(add) for layer in model.modules() if not list(layer.children())]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return count
