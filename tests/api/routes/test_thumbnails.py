"""Thumbnails of the images of a dataset: of files and of images in shards, confined, limited and cached."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from api.readers import thumbnail_files
from api.routes import thumbnails
from store import resources
from tests.api.conftest import Service


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Thumbnails are made in this process, without confinement; the files, in order."""
    made: list[Path] = []

    def make(data_root: Path, file: Path, size_px: int) -> bytes:
        made.append(file)
        return thumbnail_files.make_thumbnail(data_root, file, size_px)[0]

    monkeypatch.setattr(thumbnail_files, "confine_to", lambda root: None)
    monkeypatch.setattr(thumbnails, "thumbnail", make)
    return made


def _picture(width: int, height: int, colour: str, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, kind, **options)
    return out.getvalue()


def _dataset(service: Service) -> str:
    for label, colour in (("crane", "red"), ("heron", "blue")):
        (service.data / "birds" / label).mkdir(parents=True)
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "a camera"
        (service.data / "birds" / label / "0.jpg").write_bytes(_picture(400, 200, colour, exif=exif))
    body = {"path": "birds", "vocabulary_id": service.vocabulary("crane", "heron"), "split": {"by": "all"}}
    id: str = service.post("/v1/datasets", body)["id"]
    return id


def test_an_image_is_small_upright_and_without_metadata(service: Service, here: list[Path]) -> None:
    id = _dataset(service)
    response = service.http.get(f"/v1/datasets/{id}/images/1/thumbnail?size=64")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    image = Image.open(io.BytesIO(response.content))
    assert (image.size, dict(image.getexif()), b"camera" in response.content) == ((32, 64), {}, False)
    red, _, blue = image.convert("RGB").getpixel((16, 32))  # type: ignore[misc]
    assert blue > 200 > red
    for row in ("2", "-1", "99999999999999999999"):
        response = service.http.get(f"/v1/datasets/{id}/images/{row}/thumbnail")
        assert (response.status_code, response.json()["code"]) == (404, "image_not_found")
    assert service.http.get(f"/v1/datasets/{id}/images/x/thumbnail").status_code == 422
    assert service.http.get(f"/v1/datasets/{id}/images/0/thumbnail?size=63").status_code == 422
    assert service.http.get("/v1/datasets/dst_none/images/0/thumbnail").status_code == 404


def test_a_thumbnail_is_kept_until_its_file_changes(
    service: Service, here: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.data.files.regular_files.SETTLED_NS", -(10**18))
    path = f"/v1/datasets/{_dataset(service)}/images/0/thumbnail"
    first = service.http.get(path)
    again = service.http.get(path)
    assert (again.content, again.headers["etag"], len(here)) == (first.content, first.headers["etag"], 1)
    assert service.http.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert service.http.get(path + "?size=32").headers["etag"] != first.headers["etag"]
    (service.data / "birds" / "crane" / "0.jpg").write_bytes(_picture(30, 30, "green"))
    changed = service.http.get(path)
    assert (changed.content != first.content, len(here)) == (True, 3)
    (service.data / "birds" / "crane" / "0.jpg").unlink()
    gone = service.http.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "image_missing")


def test_an_image_in_a_shard(service: Service, here: list[Path]) -> None:
    (service.data / "shards").mkdir()
    with tarfile.open(service.data / "shards" / "a-000.tar", "w") as shard:
        for number, (label, colour) in enumerate((("crane", "red"), ("heron", "blue"))):
            for name, data in ((f"{number}.png", _picture(50, 40, colour, "PNG")), (f"{number}.cls", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
    body = {"path": "shards", "vocabulary_id": service.vocabulary("crane", "heron"), "split": {"by": "all"}}
    id = service.post("/v1/datasets", body)["id"]
    with service.db.read() as tx:
        key = resources.dataset(tx, id).manifest_key
    for row in (0, 1):
        image = Image.open(io.BytesIO(service.http.get(f"/v1/datasets/{id}/images/{row}/thumbnail").content))
        red, _, blue = image.convert("RGB").getpixel((9, 9))  # type: ignore[misc]
        label = service.app.state.index_rows.row(key, row).label
        assert (image.size, red > blue) == ((50, 40), label == 0)


@pytest.mark.slow
def test_a_link_out_of_the_data_root_is_refused(service: Service, tmp_path: Path) -> None:
    id = _dataset(service)
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(_picture(40, 40, "red"))
    crane = service.data / "birds" / "crane" / "0.jpg"
    crane.unlink()
    crane.symlink_to(outside)
    linked, other = (service.http.get(f"/v1/datasets/{id}/images/{row}/thumbnail") for row in (0, 1))
    assert (linked.status_code, linked.json()["code"]) == (404, "image_missing")
    assert other.status_code == 200


@pytest.mark.nightly
def test_a_bomb_does_not_hurt_the_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnail_files.PROCESSES, "memory_bytes", 700_000_000)
    id = _dataset(service)
    heron = service.data / "birds" / "heron" / "0.jpg"
    Image.new("1", (13_000, 13_000)).save(heron, "PNG")
    bomb = service.http.get(f"/v1/datasets/{id}/images/1/thumbnail")
    assert (bomb.status_code, bomb.json()["code"]) == (422, "image_too_costly")
    heron.write_bytes(b"no image")
    unreadable = service.http.get(f"/v1/datasets/{id}/images/1/thumbnail")
    assert (unreadable.status_code, unreadable.json()["code"]) == (422, "image_unreadable")
    heron.write_bytes(_picture(40, 40, "red"))
    assert service.http.get(f"/v1/datasets/{id}/images/1/thumbnail").status_code == 200


def test_more_than_enough_wait_already(service: Service, here: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    id = _dataset(service)
    monkeypatch.setattr(thumbnails, "_waiting", thumbnails.threading.BoundedSemaphore(1))
    with thumbnails._place():
        response = service.http.get(f"/v1/datasets/{id}/images/0/thumbnail")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert service.http.get(f"/v1/datasets/{id}/images/0/thumbnail").status_code == 200


def test_rows_of_an_index_are_those_that_were_saved(service: Service, here: list[Path]) -> None:
    id = _dataset(service)
    with service.db.read() as tx:
        key = resources.dataset(tx, id).manifest_key
    rows = service.app.state.index_rows
    assert [rows.row(key, at).path for at in (1, 0)] == ["heron/0.jpg", "crane/0.jpg"]
    assert rows.row(key, 2) is None


def test_the_first_images_of_labels(service: Service) -> None:
    for label, count in (('a "crane\\', 6), ("heron", 1)):
        (service.data / "more" / label).mkdir(parents=True)
        for number in range(count):
            (service.data / "more" / label / f"{number}.jpg").write_bytes(_picture(8, 8, "red", quality=90 - number))
    vocabulary = service.vocabulary("heron", 'a "crane\\', "stork")
    body = {"path": "more", "vocabulary_id": vocabulary, "split": {"by": "all"}, "check": "names"}
    id = service.post("/v1/datasets", body)["id"]
    found = service.http.get(f"/v1/datasets/{id}/label-images?label=2&label=1&label=0").json()["labels"]
    rows = {one["position"]: [image["row"] for image in one["images"]] for one in found}
    assert (list(rows), rows[2]) == ([2, 1, 0], [])
    assert (len(rows[1]), len(rows[0])) == (4, 1)
    thumbnail = found[2]["images"][0]["thumbnail"]
    assert thumbnail == f"/v1/datasets/{id}/images/{rows[0][0]}/thumbnail"
    assert not set(rows[0]) & set(rows[1])
    assert service.http.get(f"/v1/datasets/{id}/label-images").status_code == 422
    assert service.http.get("/v1/datasets/dst_none/label-images?label=0").status_code == 404
