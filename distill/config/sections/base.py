"""Shared by all sections of the config: types, refusal of unknown names, errors raised again. Imports no torch."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from distill.config.closest_names import closest_names

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]

OWN_CODES = ("setting_unknown", "setting_given_twice", "loss_unknown", "no_loss", "two_lengths")
"""Error codes that pydantic does not know."""


MAX_UNKNOWN = 20
"""Unknown names of one section that are reported: each is compared with all known names."""


class ConfigSection(BaseModel):
    """Immutable; an unknown field is an error that names the closest ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _known_fields(cls, given: object, validate: Callable[[object], Self]) -> Self:
        unknown = [name for name in given if name not in cls.model_fields] if isinstance(given, Mapping) else []
        if not unknown:
            return validate(given)
        assert isinstance(given, Mapping)
        # Each error is located at the unknown name itself, so that a JSON pointer leads there.
        details = [cls._unknown(str(name), given[name]) for name in unknown[:MAX_UNKNOWN]]
        try:
            validate({name: value for name, value in given.items() if name in cls.model_fields})
        except ValidationError as error:
            details += error_details(error)
        raise ValidationError.from_exception_data(cls.__name__, details)

    @classmethod
    def _unknown(cls, name: str, value: object) -> InitErrorDetails:
        error = unknown_name("setting_unknown", "setting", name, list(cls.model_fields))
        return InitErrorDetails(type=error, loc=(name,), input=value)


def unknown_name(
    code: Literal["setting_unknown", "loss_unknown"], kind: str, name: str, known: list[str]
) -> PydanticCustomError:
    near = closest_names(name, known)
    hint = f"closest: {', '.join(near)}" if near else f"there are {', '.join(known)}"
    message = 'no {kind} is called "{name}"; {hint}'
    return PydanticCustomError(code, message, {"kind": kind, "name": name, "hint": hint})


def error_details(error: ValidationError) -> list[InitErrorDetails]:
    """The errors, to raise them again."""
    details = []
    for one in error.errors():
        own = PydanticCustomError(one["type"], "{message}", {"message": one["msg"]})
        kind = own if one["type"] in OWN_CODES else one["type"]
        details.append(InitErrorDetails(type=kind, loc=one["loc"], input=one["input"], ctx=one.get("ctx", {})))
    return details
