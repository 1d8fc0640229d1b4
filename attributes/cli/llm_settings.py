"""The settings of the LLM for a program: its options, and LIMBECK_LLM_* variables."""

import os

from pydantic import ValidationError

from attributes.cli.input_files import InvalidInput
from attributes.llm.http.connections import ConnectionFault, check_connection
from attributes.llm.settings import LLMSettings

_FROM_ENVIRONMENT = (
    "base_url",
    "api_key",
    "api_version",
    "headers",
    "top_p",
    "seed",
    "reasoning_effort",
    "extra_body",
    "proxy",
    "ca_file",
    "outage_limit_s",
    "max_reasoning_tokens",
)


def variable(name: str) -> str:
    """The environment variable of a setting: `LIMBECK_LLM_BASE_URL`."""
    return f"LIMBECK_LLM_{name.upper()}"


def llm_settings(**options: object) -> LLMSettings:
    """The settings that `options` give; those that are None or missing come from the environment, if it has them.

    Raises InvalidInput that names the option or the variable, also for an unusable proxy or CA file.
    """
    given = {name: value for name, value in options.items() if value is not None}
    unset = [name for name in _FROM_ENVIRONMENT if name not in given]
    environment = {name: value for name in unset if (value := os.environ.get(variable(name), ""))}
    try:
        settings = LLMSettings.model_validate({**environment, **given})
        check_connection(settings.connection())
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = variable(name) if name in environment else f"--{name.replace('_', '-')}"
        raise InvalidInput(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    except ConnectionFault as error:
        raise InvalidInput(str(error)) from None
