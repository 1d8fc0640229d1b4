"""The committed catalog agrees with the locked libraries, and the names that people start with are in it."""

from distill.config import model_names


def test_the_catalog_agrees_with_what_is_installed() -> None:
    assert model_names.written() == model_names.installed(), (
        "run `python -m distill.config.model_names` and commit model_names.json"
    )


def test_well_known_students_and_teachers_are_in_it() -> None:
    known = model_names.written()
    assert {"resnet18", "resnet50", "vit_base_patch32_224", "mobilenetv4_conv_small"} <= set(known["timm"])
    assert "openai" in known["open_clip"]["ViT-B-32"]
    assert "webli" in known["open_clip"]["ViT-B-16-SigLIP"]


def test_a_teacher_whose_text_tower_needs_another_library_is_not() -> None:
    assert "roberta-ViT-B-32" not in model_names.written()["open_clip"]
