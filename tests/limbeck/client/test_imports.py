"""What `import limbeck` and the clients import."""

import importlib.metadata
import json
import re
import subprocess
import sys

import pytest

# Refuses each module that is neither of the standard library nor of the given ones, then uses the clients.
CODE = """
import json, sys
from importlib.abc import MetaPathFinder

ALLOWED = set(json.loads(sys.argv[1])) | set(sys.stdlib_module_names)
REFUSED = set()

class Refusing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED and not name.startswith("_sysconfigdata"):
            REFUSED.add(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Refusing())
import limbeck
print(json.dumps(sorted({name for name in sys.modules if name.startswith(("limbeck", "httpx2", "pydantic"))})))
from limbeck import *
from limbeck import AsyncClient, Client
import pkgutil, limbeck.client, importlib
for module in pkgutil.walk_packages(limbeck.client.__path__, "limbeck.client."):
    importlib.import_module(module.name)
with Client("http://127.0.0.1:1", attempts=1) as client:
    try:
        client.ready()
    except Unreachable as error:
        print(type(error).__name__)
"""


def _installed_with(*names: str) -> set[str]:
    """The installed distributions of the names, and all that they require without extras."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        found.add(name)
        waiting += [re.split(r"[\[<>=~!; (]", one)[0] for one in required if "extra ==" not in one]
    return found


@pytest.mark.slow
def test_the_clients_import_httpx2_and_pydantic_only() -> None:
    distributions = _installed_with("httpx2", "pydantic")
    modules = {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if {name.lower().replace("_", "-") for name in names} & distributions
    }
    assert not modules & {"typer", "rich", "yaml", "numpy", "sqlalchemy"}
    command = [sys.executable, "-c", CODE, json.dumps(sorted({"limbeck"} | modules))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    assert json.loads(first) == ["limbeck"]  # nothing is imported before a name is used
    assert last == "Unreachable"
