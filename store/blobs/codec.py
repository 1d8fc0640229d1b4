"""The stored form of a block of bytes. Weights in float32 take 15% less: only their exponents can be compressed.

A block begins with a byte that names its form: as it is, as zlib, or as numbers of four bytes whose fourth bytes (sign
and exponent) are one zlib stream and whose other three follow as they are. The position of the first number in the
block is found by the entropy of every fourth byte. numpy is imported with the first block of numbers, so that the API
starts fast.
"""

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BLOCK_BYTES = 256 * 1024
_RAW, _ZLIB, _FLOATS = b"\x00", b"\x01", b"\x02"
_SAMPLE = 32 * 1024
_WORTH = 0.9
_MAX_BITS = 6.5  # of a byte that is worth compressing


def encoded(block: bytes) -> bytes:
    """The stored form of a block of at most `BLOCK_BYTES`; at most one byte longer."""
    sample = block[:_SAMPLE]
    forms = [_RAW + block]
    if len(zlib.compress(sample, 1)) < _WORTH * len(sample):
        forms.append(_ZLIB + zlib.compress(block, 6))
    if (floats := _encoded_floats(block)) is not None:
        forms.append(floats)
    return min(forms, key=len)


def decoded(stored: bytes) -> bytes:
    """The block of which `stored` is the form. Raises ValueError if it is none."""
    form, body = stored[:1], stored[1:]
    if form == _RAW:
        return body
    if form == _ZLIB:
        return zlib.decompress(body)
    if form == _FLOATS:
        return _decoded_floats(body)
    raise ValueError(f"unknown form {form!r} of a stored block")


def _encoded_floats(block: bytes) -> bytes | None:
    import numpy as np

    values = np.frombuffer(block, np.uint8)
    if len(values) < 64:
        return None
    bits = [_entropy(values[first + 3 :: 4]) for first in range(4)]
    first = int(np.argmin(bits))
    if bits[first] > _MAX_BITS:
        return None
    number = (len(values) - first) // 4
    numbers = values[first : first + 4 * number].reshape(number, 4)
    exponents = zlib.compress(numbers[:, 3].tobytes(), 6)
    ends = values[:first].tobytes() + values[first + 4 * number :].tobytes()
    head = bytes([first, len(ends) - first]) + len(exponents).to_bytes(4, "big")
    return _FLOATS + head + ends + exponents + numbers[:, :3].tobytes()


def _decoded_floats(body: bytes) -> bytes:
    import numpy as np

    first, last, num_bytes = body[0], body[1], int.from_bytes(body[2:6], "big")
    at = 6 + first + last
    exponents = np.frombuffer(zlib.decompress(body[at : at + num_bytes]), np.uint8)
    numbers = np.empty((len(exponents), 4), np.uint8)
    numbers[:, 3] = exponents
    numbers[:, :3] = np.frombuffer(body, np.uint8, offset=at + num_bytes).reshape(-1, 3)
    return body[6 : 6 + first] + numbers.tobytes() + body[6 + first : at]


def _entropy(values: "npt.NDArray[np.uint8]") -> float:
    """Bits per byte."""
    import numpy as np

    counts = np.bincount(values, minlength=256)
    shares = counts[counts > 0] / len(values)
    return float(-(shares * np.log2(shares)).sum())
