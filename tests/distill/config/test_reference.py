"""The reference of settings: complete, and the same as the document."""

from distill.config import reference
from distill.config.train_config import TrainConfig, short_names


def test_the_document_is_up_to_date() -> None:
    assert reference.DOCUMENT.read_text(encoding="utf-8") == reference.markdown(), (
        "run `python -m distill.config.reference` and commit docs/reference/config.md"
    )


def test_every_setting_has_a_description_and_its_values() -> None:
    for row in reference.settings():
        assert row.description, row.path
        assert row.allowed, row.path


def test_every_field_has_one_short_name() -> None:
    paths = [
        (section, field)
        for section, info in TrainConfig.model_fields.items()
        for field in info.annotation.model_fields  # type: ignore[union-attr]
    ]
    assert sorted(short_names().values()) == sorted(paths)
    assert {name for name in short_names()} == set(TrainConfig().flat())
