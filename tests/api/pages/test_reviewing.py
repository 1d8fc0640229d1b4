"""A set is reviewed in a browser: by keys alone to the sealed set, with conflicts and offline; without scripts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from api.app import create_app
from limbeck import Client
from limbeck.shared.clip_tokenizer import clip_merges, clip_tokenizer
from store import resources
from store.artefacts import Artefacts
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.pages.reviewed_set import ENTRIES, HOSTILE, add_report, add_response, import_set
from tests.images import tiny_image

_CONTEXT = 40


class Reviewed:
    """A service with a set, a teacher whose tokens are letters, and the images of two labels."""

    def __init__(self, db: Database, home: Path, url: str, client: Client) -> None:
        self.url, self.client = url, client
        settings = settings_at(home)
        self.artefacts = Artefacts(settings.artefacts)
        more = [{"label": f"bird {n}", "lines": [{"kind": "phrase", "text": f"mark {n}"}]} for n in range(60)]
        self.set_id = import_set(client, ENTRIES + more)
        add_response(db)
        add_report(db, self.artefacts, self.set_id, teacher="letters")
        letters = clip_tokenizer(clip_merges()[:0]).to_str().encode()
        with db.write() as tx:
            resources.put_teacher(
                tx,
                ref="letters",
                digest="d" * 64,
                width=8,
                context_length=_CONTEXT,
                logit_scale=1.0,
                preprocess={},
                tokenizer_key=self.artefacts.put_bytes(letters, "teachers/t/tokenizer.json").key,
            )
        for folder in ("crane", "heron"):
            (settings.data / "images" / folder).mkdir(parents=True)
            for number in range(4):
                path = settings.data / "images" / folder / f"{number}.jpg"
                path.write_bytes(tiny_image(str(path)))
        vocabulary = client.attribute_sets.get(self.set_id).vocabulary_id
        client.datasets.create(vocabulary, "images", split={"by": "all"})
        self.page = f"{url}/attributes/{self.set_id}"

    def change(self, **operation: object) -> None:
        """What another person does meanwhile."""
        self.client.drafts.change(self.set_id, [operation], version=None)

    def draft_lines(self, position: int) -> list[str]:
        """The texts of a label in the draft."""
        labels = self.client.attribute_sets.labels(self.set_id, draft=True)
        return next([line.text for line in one.lines] for one in labels if one.position == position)


@contextmanager
def reviewed(db: Database, home: Path) -> Iterator[Reviewed]:
    with served(create_app(settings_at(home), db)) as url, Client(url) as client:
        yield Reviewed(db, home, url, client)


def lines(page: Page, position: int) -> Locator:
    return page.locator(f"#label-{position} .line[data-line]")


def text_of(line: Locator) -> Locator:
    return line.locator("[data-field=text]")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def write(page: Page, text: str) -> None:
    """Replace the text of the open form."""
    expect(page.locator(".lineform textarea")).to_be_focused()
    press(page, "Control+a")
    page.keyboard.type(text)
    expect(page.locator(".lineform textarea")).to_have_value(text)


@pytest.mark.slow
def test_keys_alone_from_opening_the_page_to_the_sealed_set(sqlite_db: Database, tmp_path: Path) -> None:
    with reviewed(sqlite_db, tmp_path / "home") as service, opened(service.page) as browser:
        page = browser.page
        edit_by_keys(page)
        conflicts(page, service)
        lost_connection_and_reload(page, service)
        press(page, "s")
        expect(page.get_by_role("button", name="Seal as a new set")).to_be_focused()
        press(page, "Enter")
        page.wait_for_url(lambda url: service.set_id not in url)
        expect(page.locator("#draft")).to_have_text("No changes yet")
        expect(page.get_by_role("link", name="Changes against the parent")).to_be_visible()
        assert browser.errors == []
        (child,) = service.client.attribute_sets.list(parent_id=service.set_id)
        found = {one.position: one for one in service.client.attribute_sets.labels(child.id)}
        assert [line.text for line in found[0].lines] == ["A tall grey bird.", "a red crown"]
        assert [line.locked for line in found[0].lines] == [False, True]
        assert [line.text for line in found[1].lines] == [
            "mine",
            "A tall grey bird.",
            "theirs",
            "kept",
            "typed offline",
        ]


def edit_by_keys(page: Page) -> None:
    """Next label, next line, edit, Escape, save, add, lock, delete; the focus stays on the line."""
    crane = lines(page, 0)
    press(page, "j")
    expect(page.locator("#label-0")).to_be_focused()
    press(page, "ArrowDown", "ArrowDown", "Enter")
    write(page, "a neck")
    expect(page.locator(".tokens")).to_contain_text(f"33 of {_CONTEXT} tokens, counted by the tokenizer of letters")
    write(page, "a very long and curved neck")
    expect(page.locator(".tokens.over")).to_contain_text("the teacher does not read the end")
    press(page, "Escape")
    expect(page.locator(".lineform")).to_have_count(0)
    expect(crane.nth(1)).to_be_focused()
    expect(text_of(crane.nth(1))).to_have_text("a long neck")
    press(page, "Enter")
    write(page, "a curved neck")
    press(page, "Enter")
    expect(text_of(crane.nth(1))).to_have_text("a curved neck")
    expect(crane.nth(1)).to_be_focused()
    expect(page.locator("#draft")).to_have_text("1 label changed, not sealed")
    press(page, "a")
    write(page, "?")
    press(page, "Enter")
    expect(page.locator(".lineform [role=alert]")).to_contain_text("no letter or digit")
    write(page, "a red crown")
    press(page, "Enter")
    expect(crane.nth(2)).to_be_focused()
    press(page, "l")
    expect(crane.nth(2).locator(".badge.warn")).to_have_text("locked")
    expect(crane.nth(2)).to_be_focused()
    press(page, "ArrowUp", "d")
    expect(crane).to_have_count(2)
    expect(text_of(crane.nth(1))).to_have_text("a red crown")
    expect(crane.nth(1)).to_be_focused()
    press(page, "o")
    expect(page.locator("dialog")).to_have_count(1)
    press(page, "ArrowUp", "o")
    expect(page.locator("dialog[open]")).to_contain_text("the-model")
    press(page, "Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(crane.nth(0)).to_be_focused()
    press(page, "j", "u")  # heron is as in the set: nothing is undone
    expect(page.locator("#label-1")).to_be_focused()
    press(page, "A")
    expect(page.locator("#label-2")).to_be_focused()
    expect(lines(page, 1).locator(".badge.warn")).to_have_count(2)
    press(page, "k")
    expect(page.locator("#label-1")).to_be_focused()


def conflicts(page: Page, service: Reviewed) -> None:
    """Another person changes the same label, another label, and the same line: nothing that was typed is lost."""
    heron, alert, text = lines(page, 1), page.locator(".lineform [role=alert]"), page.locator(".lineform textarea")
    press(page, "ArrowDown", "Enter")
    write(page, "mine")
    service.change(op="add", position=1, kind="phrase", text="theirs")
    press(page, "Enter")
    expect(alert).to_contain_text("Another person changed this label while you typed")
    expect(heron).to_have_count(3)
    expect(text).to_have_value("mine")
    expect(text).to_be_focused()
    service.change(op="add", position=4, kind="phrase", text="of another label")
    press(page, "Enter")
    expect(text_of(heron.nth(0))).to_have_text("mine")
    expect(heron.nth(0)).to_be_focused()
    press(page, "a")
    write(page, "to be deleted")
    press(page, "Enter")
    expect(heron.nth(3)).to_be_focused()
    press(page, "Enter")
    write(page, "kept")
    gone = heron.nth(3).get_attribute("data-line")
    service.change(op="delete", position=1, line=gone)
    press(page, "Enter")
    expect(alert).to_contain_text("changed or deleted this line")
    expect(text).to_have_value("kept")
    press(page, "Enter")
    expect(text_of(heron.nth(3))).to_have_text("kept")
    service.change(op="lock", position=1)
    press(page, "d")
    expect(page.locator("#problem")).to_contain_text("your change was not applied")
    expect(heron).to_have_count(4)


def lost_connection_and_reload(page: Page, service: Reviewed) -> None:
    """A text that cannot be sent stays, also over a reload."""
    alert, text = page.locator(".lineform [role=alert]"), page.locator(".lineform textarea")
    press(page, "a")
    write(page, "typed offline")
    page.context.set_offline(True)
    press(page, "Enter")
    expect(alert).to_contain_text("cannot be reached")
    expect(text).to_have_value("typed offline")
    page.context.set_offline(False)
    press(page, "j")  # is written into the form
    expect(text).to_have_value("typed offlinej")
    press(page, "Backspace")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(alert).to_contain_text("is not saved yet")
    expect(text).to_have_value("typed offline")
    expect(page).to_have_url(re.compile("#label-1$"))
    # The response is lost on its way: the second attempt changes nothing twice.
    page.route("**/draft", lambda route: (route.fetch(), route.abort())[1], times=1)
    press(page, "Enter")
    expect(alert).to_contain_text("cannot be reached")
    press(page, "Enter")
    expect(lines(page, 1)).to_have_count(5)
    assert service.draft_lines(1).count("typed offline") == 1
    press(page, "Enter")
    write(page, "dropped")
    press(page, "Escape")
    page.reload()
    expect(page.locator("#label-1")).to_be_focused()
    expect(page.locator(".lineform")).to_have_count(0)


@pytest.mark.slow
def test_without_scripts_on_a_phone_and_with_hostile_texts(sqlite_db: Database, tmp_path: Path) -> None:
    with reviewed(sqlite_db, tmp_path / "home") as service, opened(service.page) as browser:
        page = browser.page
        page.set_viewport_size({"width": 360, "height": 740})
        by_mouse(page, service)
        assert page.locator("#list").locator("script, img, b, textarea").count() == 0
        shown = text_of(lines(page, 2))
        assert [shown.nth(number).text_content() for number in range(len(HOSTILE))] == list(HOSTILE)
        assert page.context.browser is not None
        with page.context.browser.new_context(java_script_enabled=False) as context:
            without_scripts(context.new_page(), service)
        assert page.title().startswith("Attributes of birds")
        views = ("", "/changes", "?gate=twins", "?q=onerror", "?only=unreviewed&start=40", "/pairs")
        for url in (f"{service.url}/answers/ab12", *(service.page + view for view in views)):
            page.goto(url, wait_until="domcontentloaded")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, url
            assert page.evaluate("document.querySelectorAll('main script, main b').length") == 0
        images = page.locator(".samples img")
        expect(images).to_have_count(8)
        images.last.scroll_into_view_if_needed()
        # Each thumbnail is made in a process of its own.
        loaded = "() => [...document.querySelectorAll('.samples img')].every(one => one.naturalWidth > 0)"
        page.wait_for_function(loaded, timeout=90_000)
        assert browser.errors == []


def by_mouse(page: Page, service: Reviewed) -> None:
    """Buttons do what the keys do, and the keys can be switched off."""
    ibis = lines(page, 4)
    ibis.get_by_role("button", name="Lock").click()
    expect(ibis.locator(".badge.warn")).to_have_text("locked")
    ibis.get_by_role("button", name="Edit").click()
    expect(page.locator(".lineform textarea")).to_be_focused()
    page.keyboard.type("!")
    page.locator("#label-3").get_by_role("button", name="Add a line").click()
    expect(page.locator(".lineform [role=alert]")).to_contain_text("Save this line first")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#label-3").get_by_role("button", name="Add a line").click()
    page.locator(".lineform textarea").fill(HOSTILE[1])
    page.locator(".lineform").get_by_role("button", name="Add").click()
    expect(text_of(lines(page, 3))).to_have_text(HOSTILE[1])
    assert service.draft_lines(3) == [HOSTILE[1]]
    page.locator("#keys summary").click()
    page.get_by_label("Use these keys in this browser").uncheck()
    page.locator("#label-3").focus()
    press(page, "j", "d")
    expect(page.locator("#label-3")).to_be_focused()
    page.get_by_label("Use these keys in this browser").check()
    page.locator("#label-4").get_by_role("button", name="Undo the changes").click()
    expect(ibis.locator(".badge.warn")).to_have_count(0)
    # The next label is on the next page.
    page.locator(".label").last.focus()
    last = int(page.locator(".label").last.get_attribute("data-position") or "")
    press(page, "j")
    page.wait_for_url("**start=*")
    expect(page.locator(f"#label-{last + 1}")).to_be_focused()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Discard the changes").click()
    expect(page.locator("#draft")).to_have_text("No changes yet")
    page.goto(service.page)


def without_scripts(page: Page, service: Reviewed) -> None:
    """Search, filters and paging are forms and links; buttons that need scripts are hidden."""
    page.goto(service.page)
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    page.get_by_label("Search").fill("mark")
    page.locator("select[name=only]").select_option("never reviewed")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Next page").click()
    assert "q=mark" in page.url
    expect(page.locator(".label").last).to_contain_text("mark 59")
    page.get_by_label("Go to label").fill("3")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".label").first).to_contain_text("stork")
    page.goto(service.page)
    page.get_by_role("link", name="source").first.click()
    expect(page.locator("main")).to_contain_text("the-model")
