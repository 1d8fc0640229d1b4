"""The committed teacher: it loads from its folder, is small, and understands descriptions better than names."""

from random import Random

import pytest
import torch

from examples.fieldguide.check_teacher import TEACHER_DIR, accuracies
from examples.fieldguide.language import PARTS, random_attributes
from examples.fieldguide.train_teacher import CLASSES, class_texts, parts_loss
from examples.fieldguide.world import species
from examples.worlds.teacher import also_true, class_targets, encode_text, masked_clip_loss


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_files_are_small_enough_for_the_repository() -> None:
    assert sum(path.stat().st_size for path in TEACHER_DIR.iterdir()) <= 16 * 2**20
    assert (TEACHER_DIR / "open_clip_model.safetensors").stat().st_size <= 16_000_000


@pytest.mark.slow
def test_unseen_species_by_description_and_by_name() -> None:
    """The bounds leave room for the small number of images; `train.jsonl` has the full results."""
    found = accuracies(TEACHER_DIR, "validation", images_per_species=6)
    assert found["by_description"] >= 0.9
    assert found["by_phrases"] >= 0.85
    assert 0.12 <= found["by_name"] <= 0.43


def test_texts_fit_the_context() -> None:
    import open_clip

    tokenizer = open_clip.get_tokenizer(f"local-dir:{TEACHER_DIR}")
    tokens = tokenizer([f"a photo of {one.name} . {one.sentence}" for one in species()])
    assert tokens.shape == (160, 64)
    assert (tokens[:, -1] == 0).all()


def test_encode_text_without_padding_equals_open_clip() -> None:
    import open_clip

    model = open_clip.create_model(f"local-dir:{TEACHER_DIR}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{TEACHER_DIR}")(["a photo of a red one", "b", species()[0].sentence])
    with torch.no_grad():
        assert torch.allclose(encode_text(model, tokens), model.encode_text(tokens), atol=1e-5)


def test_captions_that_are_true_of_other_images_are_not_negatives() -> None:
    stated = torch.tensor([[0, -1], [1, 2], [-1, 2]])
    shown = torch.tensor([[0, 2], [1, 2], [0, 2]])
    expected = torch.tensor([[False, False, True], [False, False, False], [True, True, False]])
    assert torch.equal(also_true(stated, shown), expected)
    features = torch.eye(3)
    everything = ~torch.eye(3, dtype=torch.bool)
    assert masked_clip_loss(features, features, torch.tensor(1.0), everything).item() == pytest.approx(0, abs=1e-6)


def test_the_parts_loss_compares_classes_of_one_part_only() -> None:
    attributes = random_attributes(Random(1))
    targets = torch.tensor([class_targets(attributes, CLASSES, PARTS)])
    # Certain of the correct class in every part; the scores of the classes of other parts must not matter.
    correct = torch.tensor([[100.0 if values.items() <= attributes.items() else 0.0 for _, values in CLASSES]])
    assert parts_loss(correct, targets).item() == pytest.approx(0, abs=1e-6)
    sizes = [sum(of == part for of, _ in CLASSES) for part in PARTS]
    chance = sum(torch.tensor(float(size)).log().item() for size in sizes) / len(sizes)
    assert parts_loss(torch.zeros(1, len(CLASSES)), targets).item() == pytest.approx(chance, rel=1e-5)
    assert len(class_texts(Random(0))) == len(CLASSES) == 67
