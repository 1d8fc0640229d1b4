"""The pages of an attribute set as they are rendered: filters, paging, gates, pairs, changes, sources and sizes."""

import html
import re
from typing import Any

import pytest

from api.pages.set_labels import MAX_LABELS
from attributes.editing import MAX_LINES, MAX_TEXT_CHARS
from limbeck.shared.format_names import FileFormat
from tests.api.conftest import Service
from tests.api.drafting import IMPORT, NECK, patch, seal
from tests.api.pages.reviewed_set import ENTRIES, HOSTILE, add_report, add_response

PAGE_BYTES = 300_000


def put(service: Service, entries: list[dict[str, Any]], **more: Any) -> str:
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    id: str = service.post(IMPORT, {"format": "json", "document": document, **more})["id"]
    return id


def show(service: Service, path: str, **query: Any) -> str:
    response = service.http.get(path, params=query or None, headers={"Accept": "text/html"})
    assert response.status_code == 200, response.text
    assert len(response.content) < PAGE_BYTES
    return response.text


def positions(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'data-position="(\d+)"', page)]


def address(page: str, rel: str) -> str:
    (found,) = re.findall(rf'href="([^"]+)" rel="{rel}"', page)
    return html.unescape(found)


@pytest.mark.slow
def test_filters_and_paging_are_in_the_address(service: Service) -> None:
    id = put(service, [{"label": f"bird {n}", "lines": [{"kind": "phrase", "text": f"mark {n}"}]} for n in range(120)])
    path = f"/attributes/{id}"
    first = show(service, path)
    assert positions(first) == list(range(MAX_LABELS))
    second = show(service, address(first, "next"))
    assert positions(second) == list(range(MAX_LABELS, 2 * MAX_LABELS))
    assert positions(show(service, address(second, "prev"))) == positions(first)
    assert positions(show(service, address(second, "next"))) == list(range(2 * MAX_LABELS, 120))
    searched = show(service, path, q="MARK 1", only="unreviewed", gate="", within="lines")
    assert positions(searched) == [n for n in range(120) if str(n).startswith("1")]
    assert 'value="MARK 1"' in searched
    searched = show(service, path, q="r", only="unreviewed")
    assert "only=unreviewed" in address(searched, "next")
    assert positions(show(service, address(searched, "next"))) == list(range(MAX_LABELS, 2 * MAX_LABELS))
    assert positions(show(service, path, q="mark 11", within="labels")) == []
    assert positions(show(service, path, start=119)) == [119]
    for wrong in ({"only": "x"}, {"start": "-1"}, {"within": "x"}, {"gate": "x"}):
        assert service.http.get(path, params=wrong).status_code == 422
    assert service.http.get("/attributes/ats_none").status_code == 404
    patch(service, id, {"op": "lock", "position": 7}, {"op": "add", "position": 9, "kind": "phrase", "text": "<i>"})
    changed = show(service, path, only="changed")
    assert (positions(changed), "2 labels changed, not sealed" in changed, "<i>" in changed) == ([7, 9], True, False)
    assert 7 not in positions(show(service, path, only="unreviewed"))
    sealed = seal(service, id)["id"]
    assert positions(show(service, f"/attributes/{sealed}", only="locked")) == [7]
    assert positions(show(service, f"/attributes/{sealed}", only="human")) == [9]


@pytest.mark.slow
def test_gates_are_links_to_the_labels_that_fail_them(service: Service) -> None:
    id = put(service, ENTRIES)
    unchecked = show(service, f"/attributes/{id}", gate="twins")
    assert positions(unchecked) == []
    assert f'data-path="/v1/attribute-sets/{id}/report"' in unchecked
    add_report(service.db, service.artefacts, id)
    page = show(service, f"/attributes/{id}")
    (link,) = re.findall(r'href="([^"]+)">title of twins', page)
    assert ("2, allowed 0; 2 labels" in page, "12.3%, allowed 15.0%" in page) == (True, True)
    failing = show(service, html.unescape(link))
    assert positions(failing) == [1, 4]
    assert ("0.9 of the words" in failing, 'aria-current="true"' in failing) == (True, True)
    assert positions(show(service, f"/attributes/{id}", flag="too_few_phrases")) == [1]
    assert positions(show(service, f"/attributes/{id}", only="undescribed")) == [3]
    for name in FileFormat.__args__:  # type: ignore[attr-defined]
        assert f'/export?format={name}"' in page


@pytest.mark.slow
def test_pairs_stand_side_by_side_with_images(service: Service) -> None:
    vocabulary = service.vocabulary("crane", "heron", "stork", "ibis")
    lines = [{"label": name, "lines": [{**NECK, "text": f"a {name} neck"}]} for name in ("crane", "heron", "stork")]
    id = put(service, lines, vocabulary_id=vocabulary, partial=True)
    assert "measured with a teacher" in show(service, f"/attributes/{id}/pairs")
    add_report(service.db, service.artefacts, id)
    assert "gate=twins" in show(service, f"/attributes/{id}/pairs")
    add_report(service.db, service.artefacts, id, teacher="t")
    page = show(service, f"/attributes/{id}/pairs")
    assert ("Margin 0.0123" in page, "a crane neck" in page, "a heron neck" in page) == (True, True, True)
    assert page.count("no images") == 2
    dataset = service.dataset(vocabulary)
    page = show(service, f"/attributes/{id}/pairs")
    rows = re.findall(rf"/v1/datasets/{dataset}/images/(\d+)/thumbnail", page)
    assert len(set(rows)) == 8
    assert page == show(service, f"/attributes/{id}/pairs", dataset=dataset, teacher="t")
    assert service.http.get(f"/attributes/{id}/pairs?dataset=dst_none").status_code == 404
    other = put(service, lines)
    assert service.http.get(f"/attributes/{other}/pairs?dataset={dataset}").status_code == 404


@pytest.mark.slow
def test_changes_against_the_parent_and_another_set(service: Service) -> None:
    id = put(service, ENTRIES)
    assert "has no parent" in show(service, f"/attributes/{id}/changes")
    edits = [{"op": "add", "position": at, "kind": "phrase", "text": HOSTILE[1]} for at in (0, 3)]
    patch(service, id, *edits, {"op": "unlock", "position": 1})
    sealed = seal(service, id)["id"]
    page = show(service, f"/attributes/{sealed}/changes")
    kinds = re.findall(r'<li class="line (\w+)">', page)
    assert (kinds, HOSTILE[1] in page) == (["added", "unlocked", "added"], False)
    assert "same attributes" in show(service, f"/attributes/{sealed}/changes", **{"with": sealed})
    assert re.findall(r'<li class="line (\w+)">', show(service, f"/attributes/{id}/changes", **{"with": sealed})) == [
        "removed",
        "locked",
        "removed",
    ]
    assert f"/attributes/{sealed}/changes" in show(service, f"/attributes/{sealed}")


def test_the_source_of_a_line_is_text(service: Service) -> None:
    id = put(service, ENTRIES)
    add_response(service.db)
    (link, *_) = re.findall(r'class="source" href="([^"]+)"', show(service, f"/attributes/{id}"))
    page = show(service, link)
    for text in HOSTILE:
        assert str(html.escape(text, quote=False)).replace('"', "&#34;") in page.replace("&#39;", "'")
    assert ("the-model" in page, "Describe it." in page, HOSTILE[0] in page) == (True, True, False)
    assert service.http.get("/answers/none").status_code == 404


@pytest.mark.slow
def test_a_page_of_the_largest_labels_is_small_and_reaches_every_line(service: Service) -> None:
    text = "<&\u00e4" * (MAX_TEXT_CHARS // 3 - 2)
    large = [{"kind": "phrase", "text": f"{text}{n}"} for n in range(20)]
    many = [{"kind": "phrase", "text": f"mark {n}"} for n in range(MAX_LINES)]
    id = put(service, [{"label": "a", "lines": large}, {"label": "b", "lines": many}, {"label": "c"}])
    seen: list[str] = []
    url, pages = f"/attributes/{id}", 0
    while url:
        page = show(service, url)
        seen += re.findall(r'data-line="(\w+)"', page)
        more = re.findall(r'href="([^"]+)">More lines', page) or re.findall(r'href="([^"]+)" rel="next"', page)
        url, pages = html.unescape(more[0]) if more else "", pages + 1
        assert pages < 20
    assert len(seen) == len(set(seen)) == 20 + MAX_LINES
    assert positions(page)[-1] == 2
    fragment = service.http.get(f"/attributes/{id}/label?position=1&line=490").text
    assert (fragment.count("data-line="), "<html" in fragment, 'data-version="0"' in fragment) == (10, False, True)
    assert service.http.get(f"/attributes/{id}/label?position=3").status_code == 404
