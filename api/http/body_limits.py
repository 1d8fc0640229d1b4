"""The largest body of each route, counted while it streams.

Only files may be larger than `JSON_BYTES`. Large bodies of both kinds are parsed in a process of their own
(`api.http.limited_process`, `api.http.json_bodies`).
"""

JSON_BYTES = 4 * 2**20
PICTURE_BYTES = 20 * 2**20
"""A picture that a student classifies (`api.routes.classify`)."""
PLAN_BYTES = 16 * 2**20
"""A plan holds the labels of a vocabulary, of which there are up to 100,000."""

_FILES = frozenset({"/v1/vocabularies", "/v1/attribute-sets/import"})
_FILE_ROUTERS = frozenset({"api.routes.vocabularies", "api.routes.attribute_set_files", "api.routes.uploads"})
_UPLOADS = "/v1/uploads"
_CHECKPOINTS, _CLASSIFY, _CLASSIFY_ROUTER = "/v1/checkpoints/", "/classify", "api.routes.classify"
_PLAN, _PLAN_ROUTER = "/v1/plan", "api.routes.plan"


def of_path(path: str, max_body_bytes: int) -> int:
    """The limit of a request's path in bytes; `max_body_bytes` is the operator's for files."""
    if path.startswith(_CHECKPOINTS) and path.endswith(_CLASSIFY):
        return PICTURE_BYTES
    return _limit(path in _FILES or path.startswith(_UPLOADS), path == _PLAN, max_body_bytes)


def of_router(module: str, max_body_bytes: int) -> int:
    """The limit of the routes of a module in bytes."""
    if module == _CLASSIFY_ROUTER:
        return PICTURE_BYTES
    return _limit(module in _FILE_ROUTERS, module == _PLAN_ROUTER, max_body_bytes)


def _limit(is_file: bool, is_plan: bool, max_body_bytes: int) -> int:
    if is_file:
        return max_body_bytes
    return min(PLAN_BYTES if is_plan else JSON_BYTES, max_body_bytes)
