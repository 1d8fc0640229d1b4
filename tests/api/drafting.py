"""Attribute sets and helpers for tests of drafts."""

from typing import TYPE_CHECKING, Any

from attributes.types import Line
from store.sets.attribute_sets import PAGE_SIZE

if TYPE_CHECKING:
    from tests.api.conftest import Service

IMPORT = "/v1/attribute-sets/import"
LLM = {"origin": "llm", "strategy": "describe@1", "call": "ab12"}
TALL: dict[str, Any] = {"kind": "sentence", "text": "A tall grey bird.", **LLM}
NECK: dict[str, Any] = {"kind": "phrase", "text": "a long neck", "part": "neck", "value": "long", **LLM}
WINGS: dict[str, Any] = {"kind": "phrase", "text": "black wings", **LLM, "locked": True}
ADD: dict[str, Any] = {"op": "add", "position": 0, "kind": "phrase", "text": "a red crown"}


def id_of(**line: Any) -> str:
    return Line(**line).id


def patch(
    service: "Service", id: str, *operations: dict[str, Any], version: int | str | None = 0, status: int = 200
) -> dict[str, Any]:
    headers = {} if version is None else {"If-Match": f'"{version}"' if isinstance(version, int) else version}
    response = service.http.patch(
        f"/v1/attribute-sets/{id}/draft", json={"operations": list(operations)}, headers=headers
    )
    assert response.status_code == status, response.text
    result: dict[str, Any] = response.json()
    if status == 200:
        assert response.headers["ETag"] == f'"{result["version"]}"'
    return result


def seal(service: "Service", id: str, **headers: str) -> dict[str, Any]:
    return service.post(f"/v1/attribute-sets/{id}/draft/seal", None, **headers)


def lines_of(service: "Service", id: str, position: int = 0, **params: Any) -> list[dict[str, Any]]:
    page = service.get(f"/v1/attribute-sets/{id}/labels", limit=1000, **params)["data"]
    lines: list[dict[str, Any]] = page[position]["lines"]
    return lines


NUM_LABELS = 2 * PAGE_SIZE + 40
ORIGINS = ("llm", "human", "import")
