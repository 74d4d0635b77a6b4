# One command for each thing a person does here; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo serve test nightly check faults soak containers fuzz bench mini docs format clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and exactly, so that no other package chooses a build of it.
$(VENV)/.local: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing (a minute or two the first time) ..."
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/.local
	@echo "Installing what the tests need ..."
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.local ## hear it: starts everything, sings ten seconds, stops everything
	@$(BIN)/jukebox demo

# Another port: make serve PORT=8001. A PORT that the shell has for something else is ignored.
serve: $(VENV)/.local ## keep the same stack running until Ctrl-C (PORT=8001: on another port)
	@$(BIN)/jukebox serve $(if $(filter command,$(firstword $(origin PORT))),--port $(PORT))

# In so many processes at once: 0 is one test after the other, `auto` what cores and memory allow.
TESTS_AT_ONCE ?= auto
PYTEST = $(BIN)/python -m pytest -q -m 'not gpu and not faults' \
	-n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

# A file stays whole, since its tests share servers; files in their order, the slowest ones not last.
# `TESTS_SINCE=COMMIT make test` says what counts as changed (tests/fixtures/selection.py).
test: $(VENV)/.dev ## the tests; slow ones of areas in which nothing changed are left out
	@$(PYTEST) --changed tests

nightly: $(VENV)/.dev ## every test this machine can run without a GPU, but faults
	@$(PYTEST) tests

check: $(VENV)/.dev ## linters, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

faults: $(VENV)/.dev ## kill, freeze, fill and corrupt real processes and files; longer than test
	@$(BIN)/python -m pytest -q -m faults tests/faults

soak: $(VENV)/.dev ## at least fifty kills over a batch of jobs
	@$(BIN)/python -m tests.faults.soak

containers: ## build the images and run deploy/README.md with a real Docker Engine; root, Debian, ten minutes
	@bash tests/containers/check.sh

fuzz: $(VENV)/.dev ## fuzz the service with malformed and oversized input
	@$(BIN)/python -m tests.fuzz.schema
	@$(BIN)/python -m tests.fuzz.bodies
	@$(BIN)/python -m tests.fuzz.files
	@$(BIN)/python -m tests.fuzz.availability

bench: $(VENV)/.dev ## tokens per second beside transformers and the limits of the machine
	@$(BIN)/python -m bench.sample

mini: $(VENV)/.dev ## train the bundled model from nothing: hours on two cores, resumed if stopped
	@bash recipes/mini/recipe.sh

docs: $(VENV)/.dev ## the documentation as a site, in build/site
	@$(BIN)/python docs/site.py

format: $(VENV)/.dev ## let ruff mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## forget the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
