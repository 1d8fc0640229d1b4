"""Pictures of the web pages for the documents, from a service with the field guide.

    python -m examples.fieldguide.screenshots --out docs/pages

Starts `limbeck serve --field-guide` in a new folder, presses the button of the start page, and waits for the student,
as a person would. Then it trains a second student with names alone, to compare them, and takes each page in light and
in dark. About five minutes on two cores. `--home FOLDER` keeps the data of the service for another run, which then only
takes the pictures. Needs Chromium.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from examples.demo.services import environment, process, serve_command
from examples.fieldguide.guide import CONFIG, IMAGE_FOLDER, TEACHER, UNSEEN
from examples.fieldguide.world import species
from limbeck import Client

_WIDTH, _HEIGHT, _MAX_HEIGHT = 1000, 640, 1300
_MAX_BYTES = 80_000
_TIMEOUT_MS = 60 * 60_000
_THEMES = ("light", "dark")
_NEW_WORD = "a creature with wings"


def start_example(page: Page, url: str) -> None:
    """From the start page of an empty service to the page of the student, by what a person would press."""
    page.goto(url)
    page.get_by_role("button", name="Try the field guide").click()
    expect(page.get_by_role("heading", name="Distill job")).to_be_visible(timeout=_TIMEOUT_MS)
    expect(page.locator(".badge").first).to_have_text("succeeded", timeout=_TIMEOUT_MS)


def open_ready(page: Page, url: str) -> None:
    """The start page, once all processes of the service have reported that they live."""
    for _ in range(60):
        page.goto(url)
        if not page.locator(".message.warn").count():
            return
        page.wait_for_timeout(500)
    raise RuntimeError(page.locator(".message.warn").first.inner_text())


def train_with_names(client: Client) -> None:
    """A second student, and an evaluation of the first by names, unless there are two students."""
    students = list(client.checkpoints.list())
    if len(students) > 1:
        return
    (first,) = students
    at: dict[str, Any] = {"dataset_id": first.dataset_id, "text": "names"}
    teacher, config = f"local-dir:{TEACHER}", {**CONFIG, "epochs": 1}
    jobs = [
        client.jobs.create("evaluate", checkpoint_id=first.id, **at),
        client.jobs.create("distill", teacher=teacher, recipe="limbeck-small", config=config, **at),
    ]
    for job in jobs:
        client.jobs.wait(job)


def addresses(client: Client) -> Mapping[str, str]:
    """Name of the picture → address of the page."""
    students = list(client.checkpoints.list())
    student = min(students, key=lambda one: one.created_at)
    vocabulary, dataset, attribute_set = student.vocabulary_id, student.dataset_id, student.attribute_set_id
    worst = min(student.evaluation["ood"]["per_label"].items(), key=lambda item: item[1])[0]
    return {
        "start": "/",
        "example": "/example",
        "vocabularies": "/vocabularies",
        "vocabulary-new": "/vocabularies/new",
        "vocabulary": f"/vocabularies/{vocabulary}",
        "images-all": "/images",
        "images-new": "/images/new",
        "images": f"/images/{dataset}",
        "attributes": "/attributes",
        "attribute-set": f"/attributes/{attribute_set}",
        "jobs": "/jobs",
        "job": f"/jobs/{student.job_id}",
        "students": "/students",
        "student": f"/students/{student.id}",
        "student-labels": f"/students/{student.id}/labels",
        "student-confusions": f"/students/{student.id}/confusions?part=ood",
        "student-label": f"/students/{student.id}/label?name={quote(worst)}",
        "compare": "/compare?" + "&".join(f"id={one.id}" for one in sorted(students, key=lambda one: one.created_at)),
        "docs": "/docs",
        "docs-operation": "/docs/post-v1-jobs",
        "sign-in": "/sign-in",
    }


def take(page: Page, out: Path, name: str) -> None:
    """Pictures of the page in both themes, as tall as the page up to a limit, each at most `_MAX_BYTES`."""
    page.wait_for_load_state("networkidle") if name != "job" else page.wait_for_timeout(1000)
    height = min(max(page.evaluate("document.body.scrollHeight"), _HEIGHT), _MAX_HEIGHT)
    for theme in _THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        png = page.screenshot(clip={"x": 0, "y": 0, "width": _WIDTH, "height": height}, full_page=True)
        (out / f"{name}-{theme}.webp").write_bytes(_small(png))
    page.emulate_media(color_scheme="light")


def _small(png: bytes) -> bytes:
    picture = Image.open(BytesIO(png)).convert("RGB")
    for quality in (80, 70, 60, 45, 30):
        stored = BytesIO()
        picture.save(stored, "WEBP", quality=quality, method=6)
        if stored.tell() <= _MAX_BYTES:
            break
    return stored.getvalue()


def _plan_training(page: Page) -> None:
    """Fill in the form of a training, and wait for the time that the service measures."""
    page.get_by_label("Recipe").select_option("limbeck-small")
    page.get_by_label("Time budget").fill("10m")
    page.get_by_label("Time budget").blur()
    expect(page.locator("#training")).to_contain_text("for the steps", timeout=_TIMEOUT_MS)


def _classify(page: Page, picture: Path) -> None:
    """Try the student on a picture, with a new word."""
    page.locator("#words").fill(_NEW_WORD)
    page.locator("#file").set_input_files(picture)
    expect(page.locator("#scores tr").first).to_be_visible(timeout=_TIMEOUT_MS)


def run(out: Path, home: Path) -> None:
    """Start the service, fill it and take the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    kept = environment(home, llm_url="")
    env = {name: value for name, value in kept.items() if not name.startswith("LIMBECK_LLM")}
    command = [*serve_command(), "--field-guide"]
    log = home / "logs" / "service.log"
    with (
        process("limbeck serve", command, env=env, log=log, start_s=300) as url,
        _chromium() as page,
        Client(url) as client,
    ):
        if not list(client.checkpoints.list()):
            open_ready(page, url)
            take(page, out, "start-empty")
            start_example(page, url)
        train_with_names(client)
        client.storage()  # the start page shows the last count
        for name, address in addresses(client).items():
            page.goto(url + address)
            if name == "images":
                _plan_training(page)
            take(page, out, name)
        page.goto(url + addresses(client)["student"])
        unseen = species(UNSEEN)[0]
        _classify(page, home / "data" / IMAGE_FOLDER / unseen.folder / "0000.png")
        page.locator("#try-it").scroll_into_view_if_needed()
        _take_part(page, out, "student-try")


def _take_part(page: Page, out: Path, name: str) -> None:
    """Pictures of the form that tries a student."""
    for theme in _THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        (out / f"{name}-{theme}.webp").write_bytes(_small(page.locator("#try").screenshot()))


@contextmanager
def _chromium() -> Iterator[Page]:
    with sync_playwright() as playwright:
        chosen = os.environ.get("LIMBECK_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chosen, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, locale="en-GB", timezone_id="UTC")
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Take pictures of the web pages for the documents.")
    parser.add_argument("--out", type=Path, default=Path("docs/pages"), help="folder of the pictures")
    parser.add_argument("--home", type=Path, help="folder of the service's data, which is kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options.out.resolve(), (options.home or Path(scratch)).resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
