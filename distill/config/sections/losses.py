"""The weights of the loss terms, one for each entry of the registry. Imports no torch."""

from typing import Annotated, Any

from pydantic import Field, create_model
from pydantic_core import InitErrorDetails

from distill.config.loss_registry import LOSS_TERMS
from distill.config.sections.base import ConfigSection, Weight, unknown_name


class _Weights(ConfigSection):
    """A weight for each name in `distill.config.loss_registry.LOSS_TERMS`; a term of weight 0 is not computed."""

    @classmethod
    def _unknown(cls, name: str, value: object) -> InitErrorDetails:
        error = unknown_name("loss_unknown", "loss", name, list(LOSS_TERMS))
        return InitErrorDetails(type=error, loc=(name,), input=value)

    def above_zero(self) -> dict[str, float]:
        """The weights above 0 by name, in the order of the registry."""
        return {name: weight for name in LOSS_TERMS if (weight := getattr(self, name)) > 0}


# Built from the registry, so that a term is defined once.
_FIELDS: dict[str, Any] = {
    name: (Annotated[Weight, Field(description=f"Weight of {term.title}.")], term.weight)
    for name, term in LOSS_TERMS.items()
}
LossWeights = create_model("LossWeights", __base__=_Weights, __module__=__name__, __doc__=_Weights.__doc__, **_FIELDS)
