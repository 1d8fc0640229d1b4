# Everything from a clean clone with Python 3.11+: `make demo`, `make test`. Nothing needs to be prepared.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: prove demo test check serve evidence evidence-full bench-service bench-editing bench-attributes bench-distill lock clean setup

demo: $(READY)  ## The main job on the field guide, through the service, in some three minutes
	$(BIN)/python -m examples.demo --out demo

test: check  ## Every check and test
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)  ## The quick part: style, types, import contracts, migrations, locked names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/store/test_migrations.py tests/distill/config/test_model_names.py

prove: $(READY)  ## Whether attributes help beyond Waffle, on the field guide, into docs/evidence.md
	rm -rf proof
	$(BIN)/python -m examples.fieldguide.prove --write docs

serve: $(READY)  ## The service, embedded unless LIMBECK_* says otherwise
	$(BIN)/limbeck serve

bench-service: $(READY)  ## How fast the service is, on SQLite and on Postgres
	$(BIN)/python -m benchmarks.service

bench-editing: $(READY)  ## Editing, searching and comparing 100,000 labels, on SQLite and on Postgres
	$(BIN)/python -m benchmarks.editing

bench-attributes: $(READY)  ## Enriching against a stand-in LLM: pace, limits, 100,000 labels, on SQLite and on Postgres
	$(BIN)/python -m benchmarks.attributes

bench-distill: $(READY)  ## How fast distilling is, beside what it is compared with
	$(BIN)/python -m benchmarks.distill

evidence: $(READY)  ## The core arms on the field guide, into docs/evidence.md; broken off, it goes on
	$(BIN)/python -m benchmarks.evidence --arms core --write docs

evidence-full: $(READY)  ## All arms
	$(BIN)/python -m benchmarks.evidence --arms full --write docs

setup: $(READY)  ## The virtual environment alone

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

lock: $(READY)  ## Lock the dependencies anew, and the names that they know
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url \
		--no-header --python-version 3.11 --upgrade --quiet --output-file requirements.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m distill.config.model_names

clean:  ## Remove what was built and what the demo left
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
