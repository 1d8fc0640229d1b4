"""What the record of writes says of a request."""

from collections.abc import Mapping
from typing import Any

from store.access.audit import WriteRequest
from store.access.principals import LOCAL, Principal


def write_request(scope: Mapping[str, Any]) -> WriteRequest:
    """The request of this scope, whose principal is known. Its route is the path if it matched none."""
    principal: Principal = scope["state"]["principal"]
    return WriteRequest(
        owner=principal.owner,
        key_id=None if principal.id == LOCAL else principal.id,
        method=scope["method"],
        route=getattr(scope.get("route"), "path", scope["path"]),
        request_id=scope["state"].get("request_id"),
        client=scope["client"][0] if scope.get("client") else None,
    )
