"""The documents about the code are true: paths exist, diagrams show the imports, folders are small."""

import re
from collections import Counter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "attributes", "distill", "limbeck", "store", "workers")
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAX_MODULES = 15
# One file per route, command, loss or migration.
ONE_FILE_EACH = ("api/pages", "api/routes", "limbeck/commands", "distill/losses", "migrations/versions")
# One concept in several layers: a row of the store, a schema of the API, a model of the client, JSON of two servers.
SAME_CONCEPT = """
    AgainEstimate AttributeSet AuditRecord BundleError BundleFile Call CaptionSet ChatBody Checkpoint Conflict
    CountedLabel Dataset Draft EpochCheckpoint Event Guess ImageURL InvalidRequest Job LLMAnswer Label LabelCoverage
    LabelThreshold Line LineJSON LineViolation NamedSchema NoneOfThese NotFound Page Problem Progress Range Report
    ResponseFormat Sample Stage StatsJSON StrategyEstimate Teacher TextTargets Upload UsdRange Vocabulary Webhook
    WebhookDelivery
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES)


def _edges(block: str) -> set[tuple[str, str]]:
    """The arrows of a Mermaid diagram; `a --> b --> c` is two."""
    edges = set()
    for line in block.splitlines():
        names = [name.strip() for name in line.split("-->")]
        edges |= set(zip(names, names[1:], strict=False))
    return edges


def _diagrams() -> list[str]:
    return re.findall(r"```mermaid\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)+\w+\.\w+)`", DOCUMENT))))
def test_a_path_in_the_document_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_links_in_the_document_exist() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", DOCUMENT):
        assert (ROOT / "docs" / link).exists(), link


def test_the_diagram_shows_the_imports_between_packages(graph: grimp.ImportGraph) -> None:
    imports = {
        (module.partition(".")[0], other.partition(".")[0])
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if not other.startswith("limbeck.shared")  # every package may import it
    }
    assert _edges(_diagrams()[0]) == {(a, b) for a, b in imports if a != b}


@pytest.mark.parametrize("package", ["api", "store", "workers", "attributes"])
def test_the_diagrams_show_the_imports_between_subpackages(graph: grimp.ImportGraph, package: str) -> None:
    (block,) = [one for one in _diagrams() if f"subgraph {package}\n" in one]
    drawn = _edges(re.sub(r"^ *end$", "", block, flags=re.MULTILINE))
    real = _subpackage_imports(graph, package)
    # An arrow that follows from others need not be drawn.
    assert drawn <= real
    assert real <= _transitive(drawn)


def _subpackage_imports(graph: grimp.ImportGraph, package: str) -> set[tuple[str, str]]:
    def subpackage(module: str) -> str | None:
        top, _, rest = module.partition(".")
        name = rest.partition(".")[0]
        return name if top == package and name and (ROOT / package / name).is_dir() else None

    pairs = {
        (subpackage(module), subpackage(other))
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
    }
    return {(a, b) for a, b in pairs if a and b and a != b}


def _transitive(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    closure = set(edges)
    while new := {(a, d) for a, b in closure for c, d in closure if b == c} - closure:
        closure |= new
    return closure


def test_no_folder_has_more_modules_than_a_reader_can_scan() -> None:
    modules = [
        path.parent.relative_to(ROOT).as_posix()
        for package in (*PACKAGES, "benchmarks", "examples", "migrations")
        for path in (ROOT / package).rglob("*.py")
    ]
    too_many = {
        folder: number
        for folder, number in Counter(modules).items()
        if number > MAX_MODULES and folder not in ONE_FILE_EACH
    }
    assert too_many == {}


def test_the_glossary_defines_thirty_words() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| \*\*([^*]+)\*\* \|", text, re.MULTILINE)
    assert len(words) == len(set(words))
    assert 25 <= len(words) <= 35
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert (ROOT / path).is_file(), path


def test_no_class_name_stands_for_two_things() -> None:
    names = Counter(
        name
        for package in (*PACKAGES, "benchmarks", "examples")
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {name for name, number in names.items() if number > 1} <= set(SAME_CONCEPT)
