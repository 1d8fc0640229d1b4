"""The random start of torchvision's ResNets and ViTs, from which the students of arXiv:2307.03135 are trained.

timm's own starts differ. Its ResNets set the last batch norm of each residual branch to 0, torchvision's to 1. Its ViTs
draw every linear layer from a truncated normal of std 0.02. torchvision's draw the patch embedding from a truncated
normal of std sqrt(1 / fan-in), the weights of `qkv` and of the MLP by Xavier's rule, and set the head to zeros.

With a head of zeros every feature is the zero vector, and the gradient of its normalisation is divided by torch's
epsilon, 1e-12. The second moment of AdamW keeps the square of that gradient and loses a thousandth of it per step:
after 10,000 steps its root is still above 1e8, so that the head hardly moves (`tests/distill/test_as_published.py`).
"""

import math

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.patch_embed import PatchEmbed
from timm.models.resnet import ResNet
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

MEAN, STD = tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD)

_MLP_BIAS_STD = 1e-6


def set_torchvision_start(model: nn.Module, seed: int) -> bool:
    """Set the weights of a ResNet or a ViT as torchvision does, by `seed`; returns False for another model."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        if isinstance(model, ResNet):
            _start_resnet(model)
        elif isinstance(model, VisionTransformer):
            _start_vit(model)
        else:
            return False
    return True


def _start_resnet(model: ResNet) -> None:
    # Convolutions and the head have the same distributions in both libraries.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def _start_vit(model: VisionTransformer) -> None:
    if isinstance(model.patch_embed, PatchEmbed):
        projection = model.patch_embed.proj
        fan_in = projection.in_channels * projection.kernel_size[0] * projection.kernel_size[1]
        nn.init.trunc_normal_(projection.weight, std=math.sqrt(1 / fan_in))
        _zero(projection.bias)
    _zero(model.cls_token)
    if model.pos_embed is not None:
        nn.init.normal_(model.pos_embed, std=0.02)
    for block in model.blocks:
        if isinstance(block, Block):
            _start_block(block)
    if isinstance(model.head, nn.Linear):
        _zero(model.head.weight)
        _zero(model.head.bias)


def _start_block(block: Block) -> None:
    layers = {name: layer for name, layer in block.named_modules() if isinstance(layer, nn.Linear)}
    for name, layer in layers.items():
        if name == "attn.proj":  # torchvision leaves this one at the default of nn.Linear
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5))
            _zero(layer.bias)
        elif name == "attn.qkv":
            nn.init.xavier_uniform_(layer.weight)
            _zero(layer.bias)
        elif name in ("mlp.fc1", "mlp.fc2"):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=_MLP_BIAS_STD)


def _zero(tensor: torch.Tensor | None) -> None:
    if tensor is not None:
        nn.init.zeros_(tensor)
