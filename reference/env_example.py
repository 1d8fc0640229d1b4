"""The file `.env.example`: what an operator of docker-compose.yml can set, from the compose file and from the settings.

The variables that docker-compose.yml itself sets in every service are left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import SecretStr

from store.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
_HEAD = """\
# The settings of all services of docker-compose.yml. Written by `python -m reference`; copy it to .env.
#
# `docker compose` reads .env twice: for the ${VARIABLES} of docker-compose.yml, and as the environment of all services.
# Put a value with $, #, spaces or quotes into single quotes: LIMBECK_DATABASE_PASSWORD='p@ss/w$rd'
# An empty or commented line is the default. Paths are those inside the containers: /etc/limbeck is the folder
# LIMBECK_CONFIG of the host, /data is LIMBECK_DATA. docs/operations.md explains which settings matter when.
"""
# Variables of docker-compose.yml, in the order in which they are shown. True: set in the example, not commented.
_COMPOSE = {
    "LIMBECK_DATABASE_PASSWORD": (True, "Password of Postgres, any characters. The database keeps the first one."),
    "LIMBECK_REDIS_PASSWORD": (True, "Password of Redis, any characters; without one, its network protects it."),
    "LIMBECK_DATA": (True, "Folder of the host with images and teachers."),
    "LIMBECK_CONFIG": (True, "Folder of the host with files that settings name, such as prices and endpoints."),
    "LIMBECK_BIND": (
        True,
        "Address of the host at which the API listens. Beyond 127.0.0.1, put a proxy with TLS before it.",
    ),
    "SERVICE_IMAGE": (False, "Images. images.env of a release has them with their digests."),
    "GPU_IMAGE": (False, ""),
    "PYTHON_IMAGE": (False, ""),
    "POSTGRES_IMAGE": (False, ""),
    "REDIS_IMAGE": (False, ""),
    "GPU_COUNT": (False, "GPUs of the service gpu."),
    "API_MEMORY": (False, "Memory limits."),
    "ENRICH_MEMORY": (False, ""),
    "GPU_MEMORY": (False, ""),
    "SWEEPER_MEMORY": (False, ""),
    "MIGRATE_MEMORY": (False, ""),
    "POSTGRES_MEMORY": (False, ""),
    "REDIS_MEMORY": (False, ""),
}
_SHOWN = ("LIMBECK_LLM_BASE_URL", "LIMBECK_LLM_MODEL", "LIMBECK_LLM_API_KEY")
_EXAMPLES = {
    "prices": "/etc/limbeck/prices.toml",
    "llm_endpoints": "/etc/limbeck/endpoints.toml",
    "llm_ca_file": "/etc/limbeck/ca.pem",
    "strategies_dir": "/etc/limbeck/strategies",
    "nonvisual_words": "/etc/limbeck/nonvisual.txt",
    "tensorboard_dir": "/var/lib/limbeck/tensorboard",
}
_LIBRARIES = """
# Variables of libraries that reach every service as well. Keys of the endpoints file (api_key_env) belong here, too.
#HTTPS_PROXY=
#NO_PROXY=
#HF_TOKEN=
#HF_ENDPOINT=
#HF_HUB_OFFLINE=
#AWS_ACCESS_KEY_ID=
#AWS_SECRET_ACCESS_KEY=
#AWS_ENDPOINT_URL=
#WANDB_API_KEY=
#MLFLOW_TRACKING_URI=
"""


def text() -> str:
    """The whole file."""
    return "".join([_HEAD, *_compose_lines(), *_setting_lines(), _LIBRARIES])


def _compose_lines() -> Iterator[str]:
    defaults = dict(re.findall(r"\$\{(\w+)(?::-|:\?)?([^}]*)\}", (_ROOT / "docker-compose.yml").read_text()))
    for name, (is_set, description) in _COMPOSE.items():
        default = "" if "set it" in defaults[name] else defaults[name]
        yield f"\n# {description}\n" if description else ""
        yield f"{'' if is_set else '#'}{name}={default}\n"


def _setting_lines() -> Iterator[str]:
    compose = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
    elsewhere = {*compose["x-limbeck"]["environment"], *_COMPOSE}
    for name, info in Settings.model_fields.items():
        variable = f"LIMBECK_{name.upper()}"
        if variable in elsewhere:
            continue
        is_secret = isinstance(info.default, SecretStr)
        value = _EXAMPLES.get(name, "") if info.default is None or is_secret else info.default
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        yield f"\n# {info.description}\n{'' if variable in _SHOWN else '#'}{variable}={shown}\n"
