# Tasks of this repository; CI runs the same commands.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo serve test browser types nightly generators check faults fleet soak containers fuzz bench mini docs format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Install torch first at an exact version, so that no other package selects a different build.
$(VENV)/.local: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing (a minute or two the first time) ..."
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/.local
	@echo "Installing the test dependencies ..."
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.local ## start a temporary service and generate ten seconds of music
	@$(BIN)/jukebox demo

# Another port: make serve PORT=8001. The environment variable PORT is ignored.
serve: $(VENV)/.local ## run the service until Ctrl-C (PORT=8001: on another port)
	@$(BIN)/jukebox serve $(if $(filter command,$(firstword $(origin PORT))),--port $(PORT))

# Number of test processes: 0 runs the tests sequentially, `auto` uses what cores and memory allow.
TESTS_AT_ONCE ?= auto
PYTEST = $(BIN)/python -m pytest -q -m 'not gpu and not faults and not browser and not fleet' \
	-n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

# Tests of a file share servers, so a file runs in one process. Files keep their order; the slowest are not last.
# `TESTS_SINCE=COMMIT make test` sets the base for detecting changes (tests/fixtures/selection.py).
test: $(VENV)/.dev ## run the tests, except slow tests of unchanged areas
	@$(PYTEST) --changed tests

nightly: $(VENV)/.dev ## run all tests, except GPU and fault-injection tests
	@$(PYTEST) tests

browser: $(VENV)/.dev ## test the studio in Chromium (skipped without it)
	@$(BIN)/python -m pytest -q tests/browser

# TypeScript reads the types in the comments of the studio's scripts; nothing is compiled.
types: ## check the types of the studio's scripts (needs Node)
	@npx --yes --package typescript@7.0.2 tsc --project studio/jsconfig.json

# Generators of API clients, which the tests try: tools of others, in environments of their own.
GENERATORS := build/generators
generators: $(VENV)/.created ## install generators of API clients for their tests (one needs Node)
	@mkdir -p $(GENERATORS) && cp tests/client/generators/package*.json $(GENERATORS)
	@$(BIN)/python -m venv $(GENERATORS)/venv
	@$(GENERATORS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--requirement tests/client/generators/requirements.txt
	@if command -v npm >/dev/null; then npm ci --prefix $(GENERATORS) --no-audit --no-fund --loglevel error; fi

check: $(VENV)/.dev ## run the linters, the type checker and the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

faults: $(VENV)/.dev ## run the fault-injection tests (slow)
	@$(BIN)/python -m pytest -q -m faults tests/faults

fleet: $(VENV)/.dev ## run the service on five machines in network namespaces (Linux, ten minutes)
	@$(BIN)/python -m tests.fleet

soak: $(VENV)/.dev ## kill workers at least fifty times during a batch of jobs
	@$(BIN)/python -m tests.faults.soak

containers: ## build the container images and test them with a real Docker engine (root, Debian, ten minutes)
	@bash tests/containers/check.sh

fuzz: $(VENV)/.dev ## fuzz the service with malformed and oversized input
	@$(BIN)/python -m tests.fuzz.schema
	@$(BIN)/python -m tests.fuzz.bodies
	@$(BIN)/python -m tests.fuzz.files
	@$(BIN)/python -m tests.fuzz.availability

bench: $(VENV)/.dev ## compare tokens per second with transformers and the hardware limits
	@$(BIN)/python -m bench.sample

mini: $(VENV)/.dev ## train the bundled model from scratch (hours on two cores; resumable)
	@bash recipes/mini/recipe.sh

docs: $(VENV)/.dev ## build the documentation site in build/site
	@$(BIN)/python docs/site.py

format: $(VENV)/.dev ## apply the formatter and automatic fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove the virtual environment, caches and build output
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
