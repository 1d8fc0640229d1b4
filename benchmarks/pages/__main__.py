"""Speed of the web pages over a full database: `python -m benchmarks.pages [--only sqlite|postgres] [--path TEXT]`.

The database has 100,000 labels with attributes, 1,000 jobs, and students with evaluations of 500 labels. For each page:
the time of the first response of a server process that has just started, the median of further ones, the size, and the
first contentful paint in Chromium (the median of five loads in new tabs, whose files of scripts and styles are in the
cache). Then, the CPU time of the server for each viewer of a running training that reports a step per second.
"""

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.measurement import Measurement
from benchmarks.pages import browser
from benchmarks.pages.fill import Filled, fill
from benchmarks.pages.viewers import viewers
from benchmarks.responsiveness import api_process
from benchmarks.responsiveness.api_process import ApiProcess

_MAX_BYTES = 300_000
_MAX_PAINT_S = 0.5
_VIEWS_OF_A_SET = (
    "",
    "?start=90000",
    "?q=SPECIES",
    "?q=part+3+of+99950",
    "?q=heron",
    "?gate=twins&start=90000",
    "?only=unreviewed&start=90000",
    "?only=changed",
    "/pairs",
    "/changes",
)


def paths(filled: Filled) -> list[str]:
    """The address of each page."""
    student = f"/students/{filled.students[0]}"
    compared = "&".join(f"id={id}" for id in filled.students[1:7])
    return [
        "/",
        "/vocabularies",
        "/vocabularies/new",
        f"/vocabularies/{filled.vocabulary}",
        f"/vocabularies/{filled.vocabulary}?q=number+99999",
        "/images",
        "/images/new",
        f"/images/{filled.dataset}",
        "/attributes",
        *(f"/attributes/{filled.attribute_set}{view}" for view in _VIEWS_OF_A_SET),
        "/jobs",
        f"/jobs/{filled.ended_job}",
        f"/jobs/{filled.running_job}",
        "/students",
        student,
        f"{student}/labels",
        f"{student}/confusions",
        f"{student}/label?name={filled.label.replace(' ', '+')}",
        f"/compare?{compared}",
        "/docs",
        "/sign-in",
    ]


def measure(api: ApiProcess, part_of_path: str) -> Iterator[Measurement]:
    """Each page, then the viewers; with `part_of_path`, the pages alone whose addresses contain it, or the viewers."""
    filled = fill(api.db, api.home)
    with browser.opened() as chromium:
        for path in paths(filled):
            if part_of_path not in path:
                continue
            page = browser.measure(chromium, api.port, api.pid, path)
            name = path if filled.attribute_set in path else path.partition("?")[0].replace(filled.students[0], "ID")
            for id in (filled.vocabulary, filled.dataset, filled.attribute_set, filled.ended_job):
                name = name.replace(id, "ID")
            name = name.replace(filled.running_job, "ID (running)")
            ok = page.paint_s < _MAX_PAINT_S and page.num_bytes <= _MAX_BYTES
            measured = (
                f"first response {1000 * page.first_s:.0f} ms, then {1000 * page.median_s:.0f} ms with "
                f"{1000 * page.cpu_s:.0f} ms of CPU, "
                f"{page.num_bytes / 1000:.1f} kB, paint {1000 * page.paint_s:.0f} ms"
            )
            yield Measurement(name, "paint < 500 ms, ≤ 300 kB", measured, ok)
    if part_of_path in ("", "viewers"):
        yield from viewers(api, filled.running_job)


def main() -> int:
    """Run the command line; returns 1 if a target is missed."""
    parser = api_process.parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--path", default="", help="measure only the pages whose addresses contain this; viewers: no page"
    )
    arguments = parser.parse_args()
    return api_process.run(arguments.only, partial(measure, part_of_path=arguments.path))


if __name__ == "__main__":
    sys.exit(main())
