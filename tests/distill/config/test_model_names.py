"""The committed catalog matches the locked libraries and contains well-known models."""

from distill.config import model_names


def test_catalog_matches_the_installed_libraries() -> None:
    assert model_names.read_catalog() == model_names.installed_models(), (
        "run `python -m distill.config.model_names` and commit model_names.json"
    )


def test_catalog_has_well_known_students_and_teachers() -> None:
    known = model_names.read_catalog()
    assert {"resnet18", "resnet50", "vit_base_patch32_224", "mobilenetv4_conv_small"} <= set(known["timm"])
    assert "openai" in known["open_clip"]["ViT-B-32"]
    assert "webli" in known["open_clip"]["ViT-B-16-SigLIP"]


def test_catalog_has_models_without_tags_and_with_text_towers_of_transformers() -> None:
    teachers = model_names.read_catalog()["open_clip"]
    assert teachers["ViT-S-32-alt"] == []
    assert "laion2b_s12b_b32k" in teachers["roberta-ViT-B-32"]
