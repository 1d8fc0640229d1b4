"""Owners: who created a resource, who may change it, and lists of one owner."""

from typing import Any

import pytest

from store.artefacts import StoredArtefact
from store.models import AttributeSet, Job
from store.sets import caption_sets
from tests.api.conftest import Service, bearer, create_key
from tests.api.drafting import IMPORT

LISTS = ("vocabularies", "attribute-sets", "jobs")


def _resources(service: Service, secret: str, label: str) -> dict[str, str]:
    """The ids of a vocabulary, a set of it and a job, created with this key."""

    def post(path: str, body: dict[str, Any]) -> str:
        response = service.http.post(path, json=body, headers=bearer(secret))
        assert response.status_code in (201, 202), response.text
        id: str = response.json()["id"]
        return id

    vocabulary_id = post("/v1/vocabularies", {"name": "v", "labels": [label, "heron"]})
    body = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {label: ["a tail"], "heron": ["a neck"]}}
    return {
        "vocabularies": vocabulary_id,
        "attribute-sets": post(IMPORT, body),
        "jobs": post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}),
    }


def test_everybody_reads_and_lists_filter_by_owner(public: Service) -> None:
    ann, ben = (create_key(public, "read", "write", name=name) for name in ("ann", "ben"))
    of_ann, of_ben = _resources(public, ann, "crane"), _resources(public, ben, "stork")
    for kind in LISTS:
        for params, secret, ids in (
            ({}, ann, [of_ben[kind], of_ann[kind]]),
            ({"owner": "me"}, ann, [of_ann[kind]]),
            ({"owner": "ben"}, ann, [of_ben[kind]]),
            ({"owner": "cleo"}, ann, []),
        ):
            found = public.http.get(f"/v1/{kind}", params=params, headers=bearer(secret)).json()["data"]
            assert [row["id"] for row in found] == ids, (kind, params)
        read = public.http.get(f"/v1/{kind}/{of_ben[kind]}", headers=bearer(ann)).json()
        assert read["owner"] == "ben"


def test_only_the_owner_and_an_admin_change_a_resource(public: Service) -> None:
    ann, again, ben, admin = (
        create_key(public, scope, "read", name=name)
        for name, scope in (("ann", "write"), ("ann", "write"), ("ben", "write"), ("ops", "admin"))
    )
    ids = _resources(public, ann, "crane")
    draft = f"/v1/attribute-sets/{ids['attribute-sets']}/draft"
    operation = {"op": "add", "label": "heron", "kind": "phrase", "text": "a long neck"}
    for method, path, body in (
        ("PATCH", draft, {"operations": [operation]}),
        ("POST", f"{draft}/seal", None),
        ("DELETE", draft, None),
        ("POST", f"/v1/jobs/{ids['jobs']}/cancel", None),
    ):
        headers = {"If-Match": "*"}
        refused = public.http.request(method, path, json=body, headers=headers | bearer(ben))
        assert (refused.status_code, refused.json()["code"]) == (403, "not_owner"), refused.text
        assert "'ann'" in refused.json()["detail"]
    # A second key of the same name is the same owner; an admin changes everything.
    edit = {"json": {"operations": [operation]}, "headers": {"If-Match": "*"} | bearer(again)}
    assert public.http.patch(draft, **edit).status_code == 200
    sealed = public.http.post(f"{draft}/seal", headers=bearer(admin)).json()
    assert (sealed["owner"], sealed["source"]["edited_by"]) == ("ops", "ops")
    assert public.http.post(f"/v1/jobs/{ids['jobs']}/cancel", headers=bearer(admin)).status_code == 202


def test_what_a_job_makes_belongs_to_the_owner_of_the_job(published: Service) -> None:
    with published.db.write() as tx:
        file = StoredArtefact("k", "0" * 64, 1)
        counts = {"num_images": 1, "num_captioned": 1}
        caption_sets.add(tx, dataset_id="dst_1", job_id="job_1", source={}, file=file, **counts)
    for kind in ("text-targets", "checkpoints", "caption-sets"):
        (found,) = published.get(f"/v1/{kind}", owner="ann")["data"]
        assert found["owner"] == "ann"
        assert published.get(f"/v1/{kind}", owner="ben")["data"] == []


def test_without_a_key_on_loopback_everything_may_be_changed(service: Service) -> None:
    ids = _resources(service, create_key(service, "read", "write", name="ann"), "crane")
    cancelled = service.post(f"/v1/jobs/{ids['jobs']}/cancel", None, status=202)
    assert cancelled["owner"] == "ann"
    vocabulary_id = service.vocabulary()
    assert service.get(f"/v1/vocabularies/{vocabulary_id}")["owner"] == "local"


def test_resources_of_earlier_releases_have_no_owner_and_are_everybodys(public: Service) -> None:
    ids = _resources(public, create_key(public, "read", "write", name="ann"), "crane")
    with public.db.write() as tx:
        for model, kind in ((Job, "jobs"), (AttributeSet, "attribute-sets")):
            tx.get_one(model, ids[kind]).owner = None
    ben = bearer(create_key(public, "read", "write", name="ben"))
    cancelled = public.http.post(f"/v1/jobs/{ids['jobs']}/cancel", headers=ben)
    assert (cancelled.status_code, cancelled.json()["owner"]) == (202, None)


@pytest.mark.parametrize("name", ["local", "me"])
def test_names_that_are_no_owner_are_reserved(service: Service, name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        create_key(service, "read", name=name)
