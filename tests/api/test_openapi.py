"""The OpenAPI document describes every operation, its problems and its headers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.auth import PUBLIC_PATHS
from tests.api.conftest import Service


@pytest.mark.slow
def test_every_operation_is_documented(service: Service) -> None:
    document = service.get("/openapi.json")
    operations = {
        (method, path): item
        for path, item_by_method in document["paths"].items()
        for method, item in item_by_method.items()
    }
    assert len(operations) > 25
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in document["components"]["schemas"], reference
    for (method, path), operation in operations.items():
        assert operation["description"], path
        if path in PUBLIC_PATHS:
            continue
        problems = {status for status, item in operation["responses"].items() if "problem+json" in str(item)}
        assert {"401", "403"} <= problems, path
        assert "503" in operation["responses"], path
        assert ("404" in problems) == ("{" in path), path
        if method == "post":
            assert {"409", "413", "422"} <= problems, path
            if path in ("/v1/jobs/estimate", "/v1/plan", "/v1/token-counts", "/v1/checkpoints/{id}/classify"):
                continue  # creates nothing, so that it needs no key
            names = [item["name"] for item in operation["parameters"]]
            assert "Idempotency-Key" in [name.title().replace("_", "-") for name in names], path
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]
    assert "HTTPValidationError" not in text
    ids = [item["operationId"] for item in operations.values()]
    assert len(set(ids)) == len(ids)
    jobs = operations["post", "/v1/jobs"]["requestBody"]["content"]["application/json"]
    assert "enrich" in json.dumps(jobs["examples"] if "examples" in jobs else jobs["schema"])


@pytest.mark.slow
def test_if_match_is_documented(service: Service) -> None:
    paths = service.get("/openapi.json")["paths"]
    path = "/v1/attribute-sets/{id}/draft"
    assert {"412", "428", "409", "422"} <= set(paths[path]["patch"]["responses"])
    assert "412" in paths[path]["delete"]["responses"]
    assert {"412", "409"} <= set(paths[f"{path}/seal"]["post"]["responses"])
    assert "412" not in paths[path]["get"]["responses"]


@pytest.mark.slow
def test_every_list_of_a_request_has_a_maximum_length(service: Service) -> None:
    document = service.get("/openapi.json")
    schemas = document["components"]["schemas"]

    def unbounded(schema: dict[str, Any], place: str, seen: frozenset[str]) -> Iterator[str]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in seen:
                yield from unbounded(schemas[name], f"{place}<{name}>", seen | {name})
            return
        if schema.get("type") == "array":
            if "maxItems" not in schema:
                yield place
            yield from unbounded(schema.get("items", {}), f"{place}[]", seen)
        for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from unbounded(option, place, seen)
        for name, field in schema.get("properties", {}).items():
            yield from unbounded(field, f"{place}/{name}", seen)

    found = {
        f"{method} {path} {place}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for place in unbounded(content["schema"], "", frozenset())
    }
    # The document of an import may be JSON of any shape. It is read in a process with limited memory.
    assert found == {"post /v1/attribute-sets/import <DocumentImportIn>/document"}
