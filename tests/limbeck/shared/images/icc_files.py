"""ICC profiles for tests, written from the specification (ICC.1:2001-04)."""

import struct
from collections.abc import Sequence

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""XYZ of the red, green and blue primaries of Display P3, adapted to D50."""
_D50 = (0.9642, 1.0, 0.8249)


def _number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_number, values))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def _text(kind: bytes, text: bytes) -> bytes:
    if kind == b"text":
        return b"text\0\0\0\0" + text + b"\0"
    content = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
    return content


def _profile(device: bytes, colours: bytes, space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text(b"desc", b"for tests"), b"cprt": _text(b"text", b"none"), b"wtpt": _xyz(_D50), **tags}
    table, content, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", at, len(value))
        value += bytes(-len(value) % 4)
        content, at = content + value, at + len(value)
    header = struct.pack(">I", at) + bytes(4) + b"\2\x10\0\0" + device + colours + space + bytes(12) + b"acsp"
    header += bytes(28) + b"".join(map(_number, _D50)) + bytes(48)
    assert len(header) == 128
    return header + table + content


def rgb_profile(primaries: Sequence[Sequence[float]] = DISPLAY_P3, gamma: float = 2.2) -> bytes:
    """A profile of an RGB screen with these primaries (XYZ, D50) and this gamma."""
    curve = _gamma(gamma)
    colorants = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True))
    return _profile(b"mntr", b"RGB ", b"XYZ ", {**colorants, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def grey_profile(gamma: float) -> bytes:
    """A profile of greyscale with this gamma."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile() -> bytes:
    """A profile of a printer whose four inks darken Lab's lightness alike: every ink prints grey."""
    nodes = [
        (max(0, 255 - 64 * sum(inks)), 128, 128)
        for inks in ((c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1))
    ]
    identity = bytes(range(256))
    unit = b"".join(map(_number, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + identity * 4 + b"".join(map(bytes, nodes)) + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table, b"A2B2": table})
