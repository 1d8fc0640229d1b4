"""The config of a training from its request, and the place of a setting in it, to which an error points."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from api.http.problems import ProblemError, json_pointer, unprocessable, validation_problem
from api.readers.data_root import resolve_path
from distill.config.automatic import fit_to_images
from distill.config.closest_names import closest_names
from distill.config.model_names import NoPublishedWeights, UnknownName, check_student
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import StudentConfig, TrainConfig, short_names
from distill.config.training_estimate import num_trained

Field = tuple[str, ...]
"""A setting: its section, its name, and what is below it."""
ARCHITECTURE: Field = ("student", "architecture")
WEIGHTS: Field = ("student", "weights")


def pointer_of(given: Mapping[str, object], *fields: Field, otherwise: str = "/config") -> str:
    """The JSON pointer of the first of these settings that is in `given`, the config as the client wrote it.

    `otherwise`: if the recipe sets them.
    """
    short: dict[Field, str] = {field: name for name, field in short_names().items()}
    for field in fields:
        for steps in (field, (short[field],)) if field in short else (field, field[1:]):
            found: object = given
            for step in steps:
                found = found.get(step) if isinstance(found, Mapping) else None
            if found is not None:
                return json_pointer("config", *steps)
    return otherwise


def train_config(
    recipe: str, given: Mapping[str, object], counts: Mapping[str, int], data_root: Path, *, num_ranks: int
) -> TrainConfig:
    """The config of the recipe, with what follows from the images of these `counts`. Raises ProblemError."""
    if recipe not in RECIPES:
        near = closest_names(recipe, RECIPES)
        hint = f"closest: {', '.join(near)}" if near else f"there are {', '.join(RECIPES)}"
        detail = f'no recipe is called "{recipe}"; {hint}'
        raise unprocessable("recipe_unknown", detail, "/recipe")
    try:
        config = resolve_train_config(recipe, given)
    except ValidationError as error:
        raise validation_problem(error, given, prefix="/config") from None
    except ValueError as error:
        raise unprocessable("config_invalid", str(error), "/config") from None
    _check_student(config.student, given, data_root)
    return fit_to_images(config, num_trained(config, counts), num_ranks)


def _check_student(config: StudentConfig, given: Mapping[str, object], data_root: Path) -> None:
    """Refuse a name that timm does not have, a start without published weights, and a path outside the data root."""
    try:
        check_student(config.architecture, pretrained=config.pretrained)
    except UnknownName as error:
        raise unprocessable("student_unknown", str(error), pointer_of(given, ARCHITECTURE)) from None
    except NoPublishedWeights as error:
        pointer = pointer_of(given, ARCHITECTURE, ("student", "pretrained"))
        raise unprocessable("student_not_pretrained", str(error), pointer) from None
    if config.weights is not None:
        try:
            resolve_path(data_root, config.weights)
        except ProblemError as error:
            raise unprocessable(error.code, error.detail, pointer_of(given, WEIGHTS)) from None
