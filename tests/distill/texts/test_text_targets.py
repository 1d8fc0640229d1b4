"""Targets are means of the teacher's embeddings; each text is encoded once; every truncation is reported."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from distill import Stopped
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import BATCH, TextTargets, encode_text_targets
from tests.distill.conftest import WIDTH, save_clip, tiny_clip_config

PROMPTS = (
    ("a photo of crane, which has a red cap", "a photo of crane, which has long legs"),
    ("a photo of heron",),
    ("a photo of crane, which has long legs",),
)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that teachers encode during the test."""
    texts: list[str] = []
    original = Teacher.encode_text

    def encode_text(self: Teacher, batch: list[str]) -> torch.Tensor:
        texts.extend(batch)
        return original(self, batch)

    monkeypatch.setattr(Teacher, "encode_text", encode_text)
    return texts


def test_target_is_the_normalised_mean_of_its_texts(tiny_teacher: Teacher) -> None:
    targets = encode_text_targets(tiny_teacher, PROMPTS, cache=None)
    one_by_one = [torch.cat([tiny_teacher.encode_text([text]) for text in texts]).mean(dim=0) for texts in PROMPTS]
    expected = torch.stack([mean / mean.norm() for mean in one_by_one])
    torch.testing.assert_close(targets.features, expected, atol=1e-6, rtol=0)
    assert targets.prompts == PROMPTS
    assert targets.truncated == ()


def test_each_distinct_text_is_encoded_once(tiny_teacher: Teacher, tmp_path: Path, encoded: list[str]) -> None:
    first = encode_text_targets(tiny_teacher, PROMPTS, cache=tmp_path)
    assert sorted(encoded) == sorted({text for texts in PROMPTS for text in texts})
    encoded.clear()
    again = encode_text_targets(tiny_teacher, PROMPTS, cache=tmp_path)
    assert encoded == []
    assert torch.equal(again.features, first.features)
    encode_text_targets(tiny_teacher, [*PROMPTS, ("a photo of egret",)], cache=tmp_path)
    assert encoded == ["a photo of egret"]


def test_teachers_do_not_share_cached_embeddings(tiny_teacher: Teacher, tmp_path: Path, encoded: list[str]) -> None:
    encode_text_targets(tiny_teacher, PROMPTS[1:2], cache=tmp_path / "cache")
    other = load_teacher(f"local-dir:{save_clip(tmp_path / 'other', tiny_clip_config(), seed=1)}")
    targets = encode_text_targets(other, PROMPTS[1:2], cache=tmp_path / "cache")
    assert encoded == ["a photo of heron"] * 2
    torch.testing.assert_close(targets.features, other.encode_text(["a photo of heron"]), atol=1e-6, rtol=0)


def test_texts_are_batched_by_length_and_returned_in_order(tiny_teacher: Teacher, encoded: list[str]) -> None:
    prompts = [("a photo of " + "crane " * (1 + number % 9) + str(number),) for number in range(BATCH + 40)]
    steps: list[tuple[int, int, str]] = []
    targets = encode_text_targets(
        tiny_teacher, prompts, cache=None, hooks=PipelineHooks(on_progress=lambda *step: steps.append(step))
    )
    lengths = tiny_teacher.count_tokens(encoded)
    assert lengths == sorted(lengths)
    assert steps == [(BATCH, BATCH + 40, "texts"), (BATCH + 40, BATCH + 40, "texts")]
    alone = torch.cat([tiny_teacher.encode_text(list(texts)) for texts in prompts[:12]])
    torch.testing.assert_close(targets.features[:12], alone, atol=1e-6, rtol=0)


def test_stopping_keeps_encoded_texts(tiny_teacher: Teacher, tmp_path: Path, encoded: list[str]) -> None:
    prompts = [(f"a photo of {number}",) for number in range(2 * BATCH)]
    hooks = PipelineHooks(should_stop=lambda: len(encoded) > 0)
    with pytest.raises(Stopped):
        encode_text_targets(tiny_teacher, prompts, cache=tmp_path, hooks=hooks)
    assert len(encoded) == BATCH
    encode_text_targets(tiny_teacher, prompts, cache=tmp_path)
    assert len(encoded) == len(set(encoded)) == 2 * BATCH


def test_concurrent_encoders_share_a_cache(tiny_teacher: Teacher, tmp_path: Path) -> None:
    def encode(start: int) -> TextTargets:
        return encode_text_targets(
            tiny_teacher, [(f"a photo of {n}",) for n in range(start, start + 20)], cache=tmp_path
        )

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(encode, range(0, 40, 5)))
    expected = encode_text_targets(tiny_teacher, [("a photo of 19",)], cache=None).features[0]
    torch.testing.assert_close(results[0].features[19], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(results[3].features[4], expected, atol=1e-6, rtol=0)


LONG_PHRASE = "a photo of crane, which has " + "very " * 30 + "long legs"


def test_label_without_prompts_is_an_error(tiny_teacher: Teacher) -> None:
    with pytest.raises(ValueError, match="label 1 has no prompt"):
        encode_text_targets(tiny_teacher, [("a photo of crane",), ()], cache=None)


def test_saved_targets_load_and_other_files_are_refused(tiny_teacher: Teacher, tmp_path: Path) -> None:
    targets = encode_text_targets(tiny_teacher, [*PROMPTS, (LONG_PHRASE,)], cache=None)
    path = tmp_path / "targets.safetensors"
    targets.save(path)
    loaded = TextTargets.load(path)
    assert torch.equal(loaded.features, targets.features)
    assert loaded.features.shape == (4, WIDTH)
    assert (loaded.prompts, loaded.truncated, loaded.teacher) == (targets.prompts, targets.truncated, targets.teacher)
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="damaged"):
        TextTargets.load(path)
    with pytest.raises(ValueError, match="not a file of text targets"):
        TextTargets.load(save_clip(tmp_path / "clip", tiny_clip_config()) / "open_clip_model.safetensors")
