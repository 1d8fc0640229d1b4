"""Text targets: list, get and download."""

from tests.api.conftest import Service
from tests.api.published import CONTENT, ETAG, TEXTS


def test_list_get_and_download(published: Service) -> None:
    (row,) = published.get("/v1/text-targets")["data"]
    assert row == published.get(f"/v1/text-targets/{row['id']}")
    assert (row["object"], row["text"], row["width"], row["size"]) == ("text_targets", "names", 8, len(CONTENT))
    got = published.http.get(TEXTS.format(row["id"]))
    assert (got.content == CONTENT, got.headers["etag"]) == (True, ETAG)
    assert published.http.head(TEXTS.format(row["id"])).headers["content-length"] == str(len(CONTENT))
    assert published.http.get(TEXTS.format("txt_none")).json()["code"] == "text_targets_not_found"
    assert published.get("/v1/text-targets", vocabulary_id="voc_2")["data"] == []


def test_the_labels_of_the_features_have_the_form_of_a_bundle(published: Service) -> None:
    (row,) = published.get("/v1/text-targets")["data"]
    got = published.get(f"/v1/text-targets/{row['id']}/labels.json")
    (teacher,) = published.get("/v1/teachers")["data"]
    assert got["teacher"] == {"ref": teacher["ref"], "digest": teacher["digest"]}
    assert got["labels"] == [
        {"label": item["name"], "sense": item["sense"]}
        for item in published.get(f"/v1/vocabularies/{row['vocabulary_id']}/labels")["data"]
    ]
    assert published.http.get("/v1/text-targets/txt_none/labels.json").json()["code"] == "text_targets_not_found"
