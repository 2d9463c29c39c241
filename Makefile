# Every target sets up what it needs by itself. `make` alone lists them.

PYTHON  ?= python3
BACKEND ?= embedded
CALLBACK ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check soak bench fmt lint types lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo BACKEND=emulators     the same on Google's official emulators"
	@echo "  make demo CALLBACK=file.json    with a callback you recorded"

setup: $(VENV)/.installed-cli  ## Install what runs, into .venv

demo: $(VENV)/.installed-cli  ## Send one asset through the whole pipeline, on this machine
	@$(BIN)/transcripts demo --backend $(BACKEND) $(if $(CALLBACK),--callback "$(CALLBACK)")

run: $(VENV)/.installed-cli  ## Keep the whole pipeline up on this machine
	@$(BIN)/transcripts run --backend $(BACKEND)

test: $(VENV)/.installed-dev .tools/gcloud-tasks-emulator/.installed  ## Run every test, with coverage
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --numprocesses 2 --dist loadscope
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(VENV)/.installed-dev lint types test  ## Lint, types and every test: what CI runs

lint: $(VENV)/.installed-dev  ## Lint and format check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/.installed-dev  ## Check types
	@$(BIN)/mypy

soak: $(VENV)/.installed-dev  ## Upload 5,000 files at once, each event three times
	@$(BIN)/python -m tests.soak --backend $(BACKEND)

bench: $(VENV)/.installed-dev  ## Measure against the conventional way, side by side
	@$(BIN)/python -m tests.bench

fmt: $(VENV)/.installed-dev  ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/.installed-dev  ## Resolve and pin all dependencies anew
	@$(BIN)/python -m tests.lock --write

clean:  ## Remove everything that is made here
	@rm -rf $(VENV) .tools .transcripts dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-cli: cli/requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once, about a minute) …"
	@$(PIP) install --require-hashes -r cli/requirements.txt
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: tests/requirements.txt $(VENV)/.installed-cli
	@echo "Installing the tools for tests …"
	@$(PIP) install --require-hashes -r tests/requirements.txt
	@touch $@

# Tools whose requirements contradict ours, each in an environment of its own.
.tools/%/.installed: tests/tools/%.txt | $(BIN)/python
	@echo "Installing $* into .tools/$* …"
	@$(PYTHON) -m venv .tools/$*
	@.tools/$*/bin/python -m pip -qq --disable-pip-version-check install --no-deps --require-hashes -r $<
	@touch $@
