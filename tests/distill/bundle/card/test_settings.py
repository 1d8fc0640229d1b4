"""The table of settings: the main ones and the changed ones, without long lists."""

from distill.bundle.card.settings import MAX_ROWS, settings_markdown
from distill.config.recipes import RECIPES, variant


def test_main_and_changed_settings_beside_those_of_the_recipe() -> None:
    config = variant(RECIPES["limbeck-small"](), epochs=9, augmentation={"flip": False}, device="cpu").model_dump(
        mode="json"
    )
    shown = settings_markdown({"recipe": "limbeck-small", "config": config})
    for row in (
        "| setting | value | recipe limbeck\\-small |",
        "| `schedule.epochs` | 9 | 6 |",
        "| `data.augmentation.flip` | false | true |",
        "| `optimizer.lr` | 0\\.002 |  |",
        "| `objective.losses.cls` | 1\\.0 |  |",
    ):
        assert row in shown
    assert "ema_decay" not in shown
    assert "device" not in shown  # it changes nothing
    assert "losses.unseen" not in shown


def test_unknown_recipe_and_no_config() -> None:
    assert "not recorded" in settings_markdown({})
    shown = settings_markdown({"recipe": "own|recipe", "config": {"schedule": {"epochs": 2}}})
    assert "| `schedule.epochs` | 2 |  |" in shown


def test_the_division_of_the_images_has_no_empty_values() -> None:
    dataset = {"digest": "x", "split": {"by": "parts", "measure": []}}
    assert "Division of the images: by parts." in settings_markdown({"config": {"seed": 0}, "dataset": dataset})


def test_long_lists_are_shown_by_their_length() -> None:
    labels = [f"label {n}" for n in range(300)]
    split = {"by": "list", "id": labels, "ood": labels[:200], "held_out": 0.3}
    config = {"student": {"architecture": "resnet18"}, "schedule": {"milestones": list(range(100))}}
    config["other"] = {f"field_{n}": n for n in range(100)}
    shown = settings_markdown({"recipe": "limbeck-small", "config": config, "dataset": {"digest": "x", "split": split}})
    assert "`schedule.milestones` | 100 values | 2 values" not in shown
    assert "| `schedule.milestones` | 100 values |" in shown
    assert "by list; id 300 values; ood 200 values; held\\_out 0\\.3." in shown
    assert "label 7" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("| `")]) == MAX_ROWS
    assert "more settings differ" in shown
