"""The committed catalog matches the locked libraries, and names of students are parsed by it."""

import pytest

from distill.config import model_names
from distill.config.model_names import NoPublishedWeights, UnknownName, check_student, student_notes


def given(what: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Students", what, handling)


def test_catalog_matches_the_installed_libraries() -> None:
    assert model_names.read_catalog() == model_names.installed_models(), (
        "run `python -m distill.config.model_names` and commit model_names.json"
    )


def test_catalog_has_well_known_students_and_teachers() -> None:
    known = model_names.read_catalog()
    assert {"resnet18", "resnet50", "vit_base_patch32_224", "mobilenetv4_conv_small"} <= set(known["timm"])
    assert known["timm"]["resnet18"][0] == "a1_in1k"
    assert "openai" in known["open_clip"]["ViT-B-32"]
    assert "webli" in known["open_clip"]["ViT-B-16-SigLIP"]


def test_catalog_has_models_without_tags_and_with_text_towers_of_transformers() -> None:
    teachers = model_names.read_catalog()["open_clip"]
    assert teachers["ViT-S-32-alt"] == []
    assert "laion2b_s12b_b32k" in teachers["roberta-ViT-B-32"]


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("resnet18", "resnet18"),
        pytest.param(
            "resnet18.a1_in1k",
            "resnet18.a1_in1k",
            marks=given("a timm name with a tag (`resnet18.a1_in1k`)", "accepted; the tag sets mean, std and weights"),
        ),
        pytest.param(
            "timm/resnet18.tv_in1k",
            "resnet18.tv_in1k",
            marks=given("`timm/…` or `hf-hub:timm/…`", "the timm model of that name"),
        ),
        ("hf-hub:timm/resnet18.tv_in1k", "resnet18.tv_in1k"),
        ("hf_hub:timm/resnet18", "resnet18"),
        pytest.param(
            "ResNet18.A1_in1k", "resnet18.a1_in1k", marks=given("a timm name in upper case", "the timm model, reported")
        ),
        pytest.param(
            "vit_base_patch16_224_in21k",
            "vit_base_patch16_224.augreg_in21k",
            marks=given("an old name of timm", "the model it stands for, reported"),
        ),
        ("resnet50_mlp.untrained", "resnet50_mlp.untrained"),
        ("hf-hub:somebody/net", "hf-hub:somebody/net"),
        ("hf-hub:somebody/net@v1.0", "hf-hub:somebody/net@v1.0"),
        ("hf-hub:timm/resnet18.tv_in1k@main", "hf-hub:timm/resnet18.tv_in1k@main"),
    ],
)
def test_name_of_a_student_is_parsed(name: str, normal: str) -> None:
    assert str(check_student(name)) == normal
    assert str(check_student(normal)) == normal


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "resnet18.a1_in1",
            'no weights of resnet18 with the tag "a1_in1"; closest: resnet18.a1_in1k',
            marks=given("a tag that timm does not have", "refused before any work, with the closest tags"),
        ),
        ("hf-hub:timm/resnet18.a9_in1k", "closest: resnet18.a"),
        ("timm/resnet81", "closest: resnet18"),
        ("resnet-18", "closest: resnet18"),
        ("resnet18.", "closest: resnet18"),
        ("resnet50_mlp.a1_in1k", "write resnet50_mlp$"),
        ("microsoft/resnet-18", "write hf-hub:microsoft/resnet-18"),
        ("hf-hub:net", "write hf-hub:organisation/name"),
        ("hf-hub:../net", "write hf-hub:organisation/name"),
        ("local-dir:net", "give the folder as student.weights"),
        ("https://example.org/net", "write a timm name"),
        ("", "no student"),
    ],
)
def test_unknown_student_is_refused_with_the_fix(name: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        check_student(name)


@given("a pretrained start of a model without published weights", "refused before any work")
def test_pretrained_start_needs_published_weights() -> None:
    assert str(check_student("resnet18", pretrained=True)) == "resnet18"
    for name in ("resnet50_mlp", "resnet50_mlp.untrained"):
        with pytest.raises(
            NoPublishedWeights, match=f"publishes no weights of {name}: set student.pretrained to false"
        ):
            check_student(name, pretrained=True)


@given("a tag with `pretrained` false", "a random start, reported with the setting that uses the weights")
def test_notes_tell_what_a_name_stands_for_and_which_weights_are_not_used() -> None:
    assert student_notes("resnet18", pretrained=False, has_weights=False) == []
    assert student_notes("resnet18.a1_in1k", pretrained=True, has_weights=False) == []
    (note,) = student_notes("resnet18.a1_in1k", pretrained=False, has_weights=False)
    assert note == ("the start is random: set student.pretrained to true to start from the weights of resnet18.a1_in1k")
    (note,) = student_notes("ResNet18", pretrained=False, has_weights=False)
    assert note == 'student "ResNet18" is resnet18'
