"""CLIP's tokenizer without open_clip: the same merges, vocabulary and tokens as open_clip's."""

import subprocess
import sys
import unicodedata

import ftfy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

from limbeck.shared.clip_tokenizer import MERGES_FILE, clean_text, clip_merges, clip_tokenizer
from tests.limbeck.shared.record_clip_merges import original_merges

TEXTS = (
    "",
    "a photo of a crane, which has a long grey neck and a red cap",
    "It's 3.5 feet -- héllo wörld!",
    "the crane’s “red” crown, ﬁve ｆｕｌｌ－ｗｉｄｔｈ",
    "&lt;b&gt; fish &amp;amp; chips &eacute;",
    "schÃ¶n",
    "日本語のラベル ☕ 👩‍👩‍👧",
    "ΑΣ İstanbul ẞ",
    "UPPER   lower\ttab\nnew",
    "x" * 200,
)


CLEANED = clip_tokenizer(clip_merges(), clean=None)


@pytest.fixture(scope="module")
def original() -> SimpleTokenizer:
    return SimpleTokenizer()


def _assert_same_tokens(text: str, original: SimpleTokenizer) -> None:
    start, *ids, end = CLEANED.encode(clean_text(text)).ids
    assert (start, ids, end) == (original.sot_token_id, original.encode(text), original.eot_token_id)


def test_the_shipped_merges_are_those_of_open_clip() -> None:
    assert [" ".join(merge) for merge in clip_merges()] == original_merges()
    assert MERGES_FILE.stat().st_size < 300_000
    assert "Copyright (c) 2021 OpenAI" in MERGES_FILE.with_name("clip_merges.LICENSE.txt").read_text()


def test_the_vocabulary_is_that_of_open_clip(original: SimpleTokenizer) -> None:
    assert CLEANED.get_vocab() == original.encoder


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_cleaned_and_tokenized_as_by_open_clip(text: str, original: SimpleTokenizer) -> None:
    assert clean_text(text) == get_clean_fn("lower")(text)
    _assert_same_tokens(text, original)


# Code points that Unicode 15 assigns, because the two libraries know different versions of Unicode. Only U+0345 differs
# among them: it is a mark whose case folding is a letter.
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cn"], exclude_characters="\u0345")


@pytest.mark.slow
@given(st.text(st.one_of(st.sampled_from("abcs 's&;<'’é.,-3"), CHARACTERS)))
@settings(max_examples=300, deadline=None)
def test_any_text_has_the_tokens_of_open_clip(original: SimpleTokenizer, text: str) -> None:
    assume(not any(map(_is_known_to_one, ftfy.fix_text(text))))  # their bytes, read as Latin-1, are repaired to them
    _assert_same_tokens(text, original)


def test_bytes_that_are_repaired_to_an_unassigned_character_are_left_out() -> None:
    assert _is_known_to_one(ftfy.fix_text("Ö\x8b:")[0])
    assert not any(map(_is_known_to_one, "é:Ö"))


def _is_known_to_one(character: str) -> bool:
    """Whether the character is none of `CHARACTERS`, so that the libraries may differ about it."""
    return character == "\u0345" or unicodedata.category(character) == "Cn"


def test_tokens_are_counted_without_torch_and_open_clip() -> None:
    code = (
        "import sys; from attributes.gates.token_lengths import clip_token_counter as counter; "
        "assert counter().count(['a photo of a crane']) == [7]; "
        "sys.exit(bool({'torch', 'open_clip'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
