# Everything from a clean clone with Python 3.11+: `make demo`, `make test`. Nothing needs to be prepared.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Files in the order of tests/conftest.py: by the number of their tests, the two contract files, of few and long tests,
# would come last.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

# The tests start some hundred processes; without files of bytecode each of them compiles the modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: bench-attributes bench-distill bench-editing bench-servers bench-service check clean coverage demo docs evidence \
	evidence-full evidence-harder imports lint lock prove reference serve setup static test test-clients test-fast \
	test-slow types wheel

demo: $(READY)  ## The whole job on the field guide, through the service, in about three minutes
	$(BIN)/python -m examples.demo --out demo

test: static  ## Every check, and every test except the nightly ones
	$(BIN)/pytest $(SIDE_BY_SIDE)

test-fast: $(READY)  ## The quick tests, which need no server, in about a minute and a half
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not servers and not slow and not nightly and not clients"

test-slow: $(READY)  ## The tests that take minutes, which `make test` leaves out
	$(BIN)/pytest -m nightly

test-clients: $(READY)  ## A student in new environments that hold only timm, open_clip, huggingface_hub or ONNX Runtime
	$(BIN)/pytest -m clients tests/clients

coverage: $(READY)  ## Branch coverage of all tests except the nightly ones; fails below 90%
	rm -rf .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet --directory coverage
	$(BIN)/coverage report

check: static  ## The quick part: style, types, import contracts, documents, migrations, model names
	$(BIN)/pytest -q tests/store/test_migrations.py tests/distill/config/test_model_names.py

# The type check takes as long as the others together.
static: $(READY)
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target types lint imports docs

types: $(READY)
	$(BIN)/mypy

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

imports: $(READY)
	$(BIN)/lint-imports

prove: $(READY)  ## Measure whether attributes help more than Waffle on the field guide, and write docs/evidence.md
	rm -rf proof
	$(BIN)/python -m examples.fieldguide.prove --write docs

docs: $(READY)  ## Build the documentation site into site/, without any request to another host
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

reference: $(READY)  ## Write the reference pages of the documents from the code
	$(BIN)/python -m reference

serve: $(READY)  ## Start the service, embedded unless LIMBECK_* variables change it
	$(BIN)/limbeck serve

bench-service: $(READY)  ## Benchmark of the service on SQLite and Postgres
	$(BIN)/python -m benchmarks.service

bench-editing: $(READY)  ## Benchmark of editing, search and comparison of 100,000 labels on SQLite and Postgres
	$(BIN)/python -m benchmarks.editing

bench-attributes: $(READY)  ## Benchmark of enrichment against a stand-in LLM: rate, limits, 100,000 labels, on SQLite and Postgres
	$(BIN)/python -m benchmarks.attributes

bench-servers: $(READY)  ## Our client with llama.cpp, transformers serve and LiteLLM, each with a model of random weights
	$(BIN)/python -m benchmarks.real_servers

bench-distill: $(READY)  ## Benchmark of distillation, each figure relative to a reference
	$(BIN)/python -m benchmarks.distill

evidence: $(READY)  ## Run the core arms on the field guide, then evidence-harder; an interrupted run continues
	$(BIN)/python -m benchmarks.evidence --arms core --write docs
	$(MAKE) --no-print-directory evidence-harder

evidence-full: $(READY)  ## Run all arms on the field guide
	$(BIN)/python -m benchmarks.evidence --arms full --write docs

# One seed and 40 epochs screen all arms; the best, and those of the views, get three seeds and 100 epochs, and 300 epochs;
# the recipe alone is measured on the test group.
evidence-harder: $(READY)  ## What makes students generalise, on the beetles, in docs/evidence.md; takes hours
	$(BIN)/python -m benchmarks.evidence.harder --write docs
	$(BIN)/python -m benchmarks.evidence.harder --write docs --epochs 100 --seeds 0,1,2 \
		--arms 'limbeck,live,strong views,vlalign,two teachers,pool and phrases'
	$(BIN)/python -m benchmarks.evidence.harder --write docs --epochs 300 --arms 'live,pool and phrases'
	$(BIN)/python -m benchmarks.evidence.harder --write docs --seeds 0,1,2 --groups validation,test --arms recipe

setup: $(READY)  ## Create the virtual environment

$(READY): requirements/all.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

# Each lock file holds the same versions as all.lock.
LOCK := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --quiet
PARTS := client service gpu s3 wandb mlflow otel build

lock: $(READY)  ## Lock the dependencies of every part again, and the model names that they know
	$(LOCK) --upgrade --group pyproject.toml:all --output-file requirements/all.lock
	set -e; for part in $(PARTS); do \
		$(LOCK) --upgrade --group pyproject.toml:$$part -c requirements/all.lock \
			--output-file requirements/$$part.lock; done
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/all.lock
	$(BIN)/python -m distill.config.model_names

wheel: $(READY)  ## Build the wheel of the client into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean:  ## Remove build outputs and the demo folder
	rm -rf $(VENV) demo build dist site coverage .coverage .coverage.* *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
