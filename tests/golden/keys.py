"""Keys and digests of stored data. If one of them changes, users lose results that they have paid or waited for.

They cover LLM calls and responses, attribute sets, vocabularies, idempotent requests, API keys, the caches of a
teacher, image indexes and random choices. None of them depends on the machine.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from safetensors import safe_open
from sqlalchemy import select

from attributes.gates.criteria import GateCriteria, load_word_lists
from attributes.gates.second_opinion import SecondOpinion, judge_strategy
from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import (
    ImageFile,
    Question,
    questions_for_image,
    questions_for_label,
    questions_for_pair,
)
from attributes.prompts.strategy import Strategy, shipped_strategies
from attributes.types import Label
from distill.bundle.verify import MANIFEST_FORMAT
from distill.config.recipes import resolve_train_config
from distill.data.counter_rng import random_words, shuffled, shuffled_in_windows, uniform
from distill.data.dataset.scan import scan
from distill.data.decoded_images import FORMAT as PIXELS_FORMAT
from distill.data.row_cache import key_of as row_key_of
from distill.data.splits import SPLIT
from distill.pipeline import training_data
from distill.teacher.views.view_features import FORMAT as VIEW_FORMAT
from distill.texts.student_texts import caption_features
from distill.texts.text_targets import FORMAT as TARGETS_FORMAT
from distill.texts.text_targets import encode_text_targets
from distill.training.training_state import FORMAT as STATE_FORMAT
from store import vocabularies
from store.access import api_keys
from store.enrich import assembly, repair_rounds
from store.jobs import jobs
from store.models import EnrichPage, EnrichResult, IdempotencyRecord, LLMAnswer, Vocabulary
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE, EntryContent
from store.vocabularies import NewLabel
from tests.golden import api, exports, training
from tests.job_specs import describe_spec

LABELS = (
    Label("crane"),
    Label("crane", "a bird"),
    Label("crane", "a machine that lifts loads"),
    Label("Schöner Kolibri 蜂鸟", "hummingbird – 鳥"),
    Label('colt\'s "foot"\\', None),
    Label("e\u0301toile"),
    Label("x" * 300, "y" * 600),
)
PAIRS = (
    (LABELS[1], LABELS[2]),
    (Label("wren", "brown"), Label("Robin")),
    (LABELS[3], Label("Ålesund")),
)
DOMAINS = ("", "birds of North America", "Vögel – 鳥")
IMAGES = (
    ImageFile(b"\x89PNG\r\n\x1a\nnot more than its head"),
    ImageFile(b"\xff\xd8\xffa jpeg"),
    ImageFile(b"GIF89a"),
    ImageFile(b"RIFF0000WEBPVP8 "),
)
CORRECTION = 'Give five phrases, none with the word "crane".'
SETTINGS: Mapping[str, LLMSettings] = {
    "plain": LLMSettings(model="stand-in", base_url="http://127.0.0.1:8765/v1"),
    "openai": LLMSettings(model="gpt-4o-mini"),
    "warm": LLMSettings(model="stand-in", base_url="http://127.0.0.1:8765/v1/", temperature=0.7, max_tokens=321),
    "unshaping": LLMSettings(
        model="stand-in", base_url="http://127.0.0.1:8765/v1", timeout_s=5, concurrency=1, max_attempts=9
    ),
}


def record(folder: Path) -> dict[str, Any]:
    """The content of `cache_keys.json`."""
    return {
        "calls": call_keys(),
        "strategies": strategy_digests(),
        "lines": {f"{entry.label} {n}": line.id for entry in exports.ENTRIES for n, line in enumerate(entry.lines)},
        "gates": {"words": load_word_lists().digest, "judges": GateCriteria().digest},
        "chance": chance(),
        "splits": splits(folder / "splits"),
        "rows": row_keys(),
        "formats": [PIXELS_FORMAT, STATE_FORMAT, VIEW_FORMAT, TARGETS_FORMAT, MANIFEST_FORMAT],
        "teacher": teacher_cache(folder / "teacher"),
        "store": stored(folder / "home"),
    }


def call_keys() -> dict[str, str]:
    """The key of each question of the shipped strategies, and of the gates' second opinion."""
    found: dict[str, str] = {}
    for settings_name, settings in SETTINGS.items():
        for strategy in shipped_strategies():
            for name, ask in _asks(strategy):
                found[f"{settings_name} | {strategy.ref} | {name}"] = cache_key_of(ask, settings)
        lines = {LABELS[1]: ["a long neck", "it sings at dawn"], LABELS[3]: ["ein «Ruf»"]}
        for number, ask in enumerate(SecondOpinion().questions(lines, "birds")):
            found[f"{settings_name} | {judge_strategy().ref} | {number}"] = cache_key_of(ask, settings)
    return found


def _asks(strategy: Strategy) -> Iterator[tuple[str, Question]]:
    made: list[tuple[str, tuple[Question, ...]]] = []
    for domain in DOMAINS:
        if strategy.about == "label":
            made += [(f"{_short(label)} in {domain}", questions_for_label(strategy, label, domain)) for label in LABELS]
        elif strategy.about == "pair":
            made += [
                (f"{_short(one)} and {_short(other)} in {domain}", questions_for_pair(strategy, one, other, domain))
                for pair in PAIRS
                for one, other in (pair, pair[::-1])
            ]
        else:
            for number, picture in enumerate(IMAGES):
                made.append((f"picture {number} in {domain}", questions_for_image(strategy, picture, domain=domain)))
                label = LABELS[number]
                made.append(
                    (
                        f"picture {number} of {_short(label)} in {domain}",
                        questions_for_image(strategy, picture, label, domain),
                    )
                )
    for name, asks in made:
        for number, ask in enumerate(asks):
            yield f"{name} | {number}", ask
    name, (first, *_) = made[0]
    yield f"{name} | corrected", replace(first, correction=CORRECTION)
    yield f"{name} | sample 3", replace(first, sample=3)


def _short(label: Label) -> str:
    return str(label)[:40]


def strategy_digests() -> dict[str, list[str]]:
    """Digests of the file and of the schema of each strategy."""
    return {one.ref: [one.digest, one.schema_digest] for one in (*shipped_strategies(), judge_strategy())}


def chance() -> dict[str, Any]:
    """Random words, numbers and orders, which depend only on their keys."""
    rows, blocks = np.arange(12), np.arange(12) // 3
    return {
        "words": [str(random_words(*key)) for key in ((), (0,), (0, 0), (1, 2, 3), (2**32 - 1, 7), (2**63 - 1,))],
        "words of arrays": [str(one) for one in random_words(5, rows).tolist()],
        "uniform": uniform(5, rows).tolist(),
        "shuffled": shuffled(rows, 4, 2).tolist(),
        "shuffled in windows": shuffled_in_windows(rows, blocks, 2, 4, 2).tolist(),
    }


def splits(folder: Path) -> dict[str, Any]:
    """The digest of an image index, and the part of each image, for several splits."""
    names = ["crane", "heron", "Schöner Kolibri", "red finch"]
    for name in names:
        (folder / name.replace(" ", "_")).mkdir(parents=True)
        for number in range(5):
            (folder / name.replace(" ", "_") / f"{number}.jpg").write_bytes(b"not opened")
    found: dict[str, Any] = {}
    for split in (
        {"by": "seed"},
        {"by": "seed", "seed": 3, "id_fraction": 0.75, "held_out": 0.4},
        {"by": "list", "id": ["heron", "crane"], "ood": ["red finch"], "held_out": 0.2},
    ):
        image_index = scan(folder, names, SPLIT.validate_python(split))
        found[json.dumps(split)] = {"digest": image_index.digest, "items": [list(item[:3]) for item in image_index]}
    return found


def row_keys() -> dict[str, str]:
    """Keys of the row caches."""
    cases: tuple[tuple[str | bytes, ...], ...] = ((), ("",), ("a", "b"), ("ab",), (b"\0\xff", "é"), ("a", "", "b"))
    return {repr(parts): row_key_of(*parts).hex() for parts in cases}


def teacher_cache(folder: Path) -> dict[str, Any]:
    """Digest of the field guide's teacher, and the names and keys of everything that a training caches in a folder."""
    with training.one_thread():
        setting = training.prepare(folder)
        encode_text_targets(
            setting.teacher, [["a photo of a crane", "ein Kranich 鶴"], ["a heron"]], cache=setting.cache
        )
        digests: dict[str, Any] = {}
        drawn: dict[str, Any] = {}
        for view in ("center", "squash", "same"):
            config = resolve_train_config("limbeck-small", {**training.TINY, "view": view, "losses": {"cap": 1.0}})
            data = training_data(config, setting.image_index, setting.teacher, setting.targets, cache=setting.cache)
            digests[view] = dict(data.digests)
            if data.to_encode is not None:
                data.to_encode.encode_all()
            if data.views is not None:
                drawn = {"boxes": data.views.boxes.tolist(), "flips": data.views.flips.tolist()}
        captions = caption_features(
            setting.teacher, folder / "images", list(setting.image_index.paths), given=None, cache=setting.cache
        )
    info = setting.teacher.info()
    names = ("digest", "preprocess_digest", "tokenizer_fingerprint", "width", "context_length", "preprocess")
    return {
        "info": {name: info[name] for name in names},
        "manifest": setting.image_index.digest,
        "made from": digests,
        "views": drawn,
        "captions": captions.digest,
        "cache": cached(setting.cache),
    }


def cached(cache: Path) -> dict[str, list[str]]:
    """Folder below the cache → the keys of its rows, or the names of its files.

    The caches that map a path to its content are keyed by time and are not recorded.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(cache.rglob("*")):
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.parent.name == "contents":  # written only for files older than two seconds
            continue
        keys_of_folder = found.setdefault(path.parent.relative_to(cache).as_posix(), set())
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as opened:
                keys_of_folder |= {row.tobytes().hex() for row in opened.get_tensor("keys")}
        else:
            keys_of_folder.add(path.name)
    return {name: sorted(values) for name, values in sorted(found.items())}


def stored(home: Path) -> dict[str, Any]:
    """Digests in the database: of vocabularies, entries, pages and sets; of requests; of keys; of inputs of jobs."""
    with api.service(home) as (_, client, db):
        contents = [
            EntryContent(
                label=entry.label,
                sense=entry.sense,
                lines=[line.as_json() for line in entry.lines],
                flags=list(entry.flags),
            )
            for entry in exports.ENTRIES
        ]
        names = [NewLabel(entry.label, entry.sense) for entry in exports.ENTRIES]
        many = [NewLabel(f"label {number}") for number in range(PAGE_SIZE + 3)]
        found: dict[str, Any] = {}
        with db.write() as tx:
            vocabulary = vocabularies.create(tx, name="things", domain="birds – 鳥", labels=names)
            bare = vocabularies.create(tx, name="other name", domain="", labels=many)
            found["vocabularies"] = [vocabulary.digest, bare.digest]
            found["entries"] = attribute_sets.put_entries(tx, contents)
            pages = attribute_sets.put_pages(tx, [*contents[:4], None])
            made = attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={"import": "json"})
            empty_pages = attribute_sets.put_pages(tx, [None] * len(many))
            empty = attribute_sets.create(tx, vocabulary_id=bare.id, pages=empty_pages, source={})
            found["pages"] = [pages, empty_pages]
            found["sets"] = [made.digest, empty.digest]
            with mock.patch("secrets.token_urlsafe", return_value="golden"):
                key, secret = api_keys.create(tx, name="golden", scopes=["read"], expires_at=None)
            found["api key"] = [secret, key.sha256]
        with db.write() as tx:
            found["inputs"] = _inputs(tx, vocabulary)
        body = {"name": "birds", "labels": ["crane", "heron"]}
        answer = client.post("/v1/vocabularies", json=body, headers={"Idempotency-Key": "golden"})
        assert answer.status_code == 201, answer.text
        with db.read() as tx:
            request = tx.scalars(select(IdempotencyRecord)).one()
            found["request"] = [request.key, request.request_sha256]
        found["imports"] = {
            format: [
                (imported := exports.imported(client, format))["digest"],
                client.get(f"/v1/vocabularies/{imported['vocabulary_id']}").json()["digest"],
            ]
            for format in exports.API_FORMATS
        }
        return found


def _inputs(tx: Any, vocabulary: Vocabulary) -> dict[str, Any]:
    """Digests of the inputs of a page of an enrichment and of a repair round."""
    num_labels = vocabulary.num_labels
    spec = describe_spec(vocabulary_id=vocabulary.id, num_labels=num_labels)
    job = jobs.create(tx, spec, [])
    for position in range(num_labels):
        answer_key = f"{position:064x}"
        tx.add(
            LLMAnswer(
                key=answer_key,
                model="stand-in",
                base_url="http://127.0.0.1",
                strategy="describe@1",
                messages=[],
                answer="{}",
                lines=[{"kind": "sentence", "text": f"Sentence {position} – 鳥.", "origin": "llm"}],
                other_lines=None,
                flags=["long_sentence"] if position == 1 else [],
                created_at=0.0,
            )
        )
        tx.flush()
        tx.add(
            EnrichResult(
                job_id=job.id, position=position, step=0, slot=0, side=0, key=answer_key, reason=None, detail=None
            )
        )
    tx.flush()
    assembly.record_page(tx, job.id, spec, 0)
    page = tx.scalars(select(EnrichPage).where(EnrichPage.job_id == job.id)).one()
    return {
        "page": [page.inputs, page.digest],
        "mending": repair_rounds.inputs_of(tx, job.id, spec, {"way": 1, "rounds": 2}),
    }
