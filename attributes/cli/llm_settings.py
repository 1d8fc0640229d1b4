"""The settings of the LLM for a program: its options, and LIMBECK_LLM_* variables."""

import os

from pydantic import ValidationError

from attributes.cli.input_files import InvalidInput
from attributes.llm.settings import LLMSettings

_FROM_ENVIRONMENT = ("base_url", "api_key", "api_version", "headers")


def variable(name: str) -> str:
    """The environment variable of a setting: `LIMBECK_LLM_BASE_URL`."""
    return f"LIMBECK_LLM_{name.upper()}"


def llm_settings(**options: object) -> LLMSettings:
    """The settings that `options` give; server, key and headers otherwise come from the environment.

    Raises InvalidInput that names the option or the variable.
    """
    environment = {name: os.environ.get(variable(name), "") for name in _FROM_ENVIRONMENT if name not in options}
    try:
        return LLMSettings.model_validate({**environment, **options})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = variable(name) if name in environment else f"--{name.replace('_', '-')}"
        raise InvalidInput(f"{place}: {first['msg']}") from None
