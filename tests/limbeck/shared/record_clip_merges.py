"""`python -m tests.limbeck.shared.record_clip_merges`: write the merges of CLIP's vocabulary from open_clip's file."""

import gzip
import lzma
from pathlib import Path

from open_clip.tokenizer import default_bpe

from limbeck.shared.clip_tokenizer import MERGES_FILE, NUM_MERGES


def original_merges() -> list[str]:
    """The merges that CLIP uses of the file in open_clip, one line each, without the header."""
    return gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")[1 : NUM_MERGES + 1]


if __name__ == "__main__":
    text = "".join(f"{line}\n" for line in original_merges())
    MERGES_FILE.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{MERGES_FILE.name}: {MERGES_FILE.stat().st_size:,} bytes")
