"""Languages of lines: by the line, its label and the set; published English files stay English."""

import json

import pytest

from attributes.gates.words.languages import LanguageDetector
from attributes.languages import language_code, language_name
from tests.conftest import SHARED_DATA

GERMAN = ["ein langer gelber Schnabel", "schwarze Flügel mit weißen Spitzen", "rote Beine"]
ENGLISH = ["a long yellow bill", "black wings with white tips", "red legs"]


def languages_of(*labels: list[str], stated: str | None = None) -> list[str]:
    detector = LanguageDetector(stated)
    for texts in labels:
        detector.add(texts)
    return detector.finish().of(slice(None))


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("de", GERMAN),
        ("de", ["Der Vogel hat einen langen, gelben Schnabel."]),
        ("fr", ["un long bec jaune", "des ailes noires aux pointes blanches"]),
        ("es", ["un pico largo y amarillo", "alas negras con puntas blancas"]),
        ("pt", ["um bico longo e amarelo", "asas pretas com pontas brancas"]),
        ("it", ["un becco lungo e giallo", "ali nere con punte bianche"]),
        ("nl", ["een lange gele snavel", "zwarte vleugels met witte punten"]),
        ("sv", ["en lång gul näbb", "svarta vingar med vita spetsar"]),
        ("pl", ["długi żółty dziób", "czarne skrzydła z białymi końcówkami"]),
        ("ru", ["длинный жёлтый клюв", "чёрные крылья с белыми кончиками"]),
        ("zh", ["黄色的长喙", "黑色的翅膀"]),
        ("ja", ["長い黄色のくちばし", "先が白い黒い翼"]),
        ("ko", ["긴 노란 부리", "끝이 하얀 검은 날개"]),
        ("en", ENGLISH),
        ("en", ["slender", "glossy chestnut plumage", "decurved bill"]),
        ("en", ["a raucous voice"]),
        ("en", ["."]),
        ("en", [""]),
    ],
)
def test_the_language_of_one_label(code: str, texts: list[str]) -> None:
    assert set(languages_of(texts)) == {code}


def test_each_line_of_a_mixed_set_has_its_language() -> None:
    assert languages_of(ENGLISH, GERMAN) == ["en"] * 3 + ["de"] * 3
    assert languages_of([ENGLISH[1], "The bird has a long bill and red legs.", GERMAN[1]]) == ["en", "en", "de"]


def test_an_unsure_line_has_the_language_of_its_label_or_set() -> None:
    assert languages_of(["rote Krone", "lange graue Beine", "schwarzer Schnabel"]) == ["de"] * 3
    assert languages_of(GERMAN, GERMAN, ["12"]) == ["de"] * 7
    assert languages_of(ENGLISH, ["12"]) == ["en"] * 4


def test_a_stated_language_is_not_detected() -> None:
    assert languages_of(ENGLISH, stated="de-AT") == ["de"] * 3
    assert languages_of(GERMAN, [], stated="English") == ["en"] * 3


@pytest.mark.parametrize(
    ("stated", "code"), [("German", "de"), ("de_CH", "de"), (" EN ", "en"), ("zh-Hant", "zh"), ("Klingon", "klingon")]
)
def test_codes_of_stated_languages(stated: str, code: str) -> None:
    assert language_code(stated) == code


def test_names_of_languages() -> None:
    assert (language_name("de"), language_name("klingon")) == ("German", "klingon")


def test_published_phrases_and_sentences_are_english() -> None:
    path = SHARED_DATA / "dclip" / "descriptors_cub.json"
    if not path.is_file():
        pytest.skip(f"the published descriptors are not at {path}")
    assert set(languages_of(*json.loads(path.read_text()).values())) == {"en"}
