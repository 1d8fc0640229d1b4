"""The reference pages and `.env.example`, which are generated from code, by path. A test compares each file with the
code.

python -m reference        # writes them
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from distill.config import reference as config_reference
from reference import api_operations, commands, env_example, python_client, service_settings

ROOT = Path(__file__).resolve().parents[1]

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/api.md": api_operations.markdown,
    "docs/reference/client.md": python_client.markdown,
    "docs/reference/cli.md": commands.markdown,
    "docs/reference/config.md": config_reference.markdown,
    "docs/reference/settings.md": service_settings.markdown,
    ".env.example": env_example.text,
}
"""Path below the root -> the function that returns its text."""
