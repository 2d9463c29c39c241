# Every target sets up what it needs by itself. `make` alone lists them.

PYTHON  ?= python3
BACKEND ?= embedded
CALLBACK ?=
ENV     ?= production

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip -qq --disable-pip-version-check

TOOLS := $(VENV)/.installed-dev .tools/gcloud-tasks-emulator/.installed .tools/pyannote/.installed

# Tests start hundreds of processes; without bytecode on disk each compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check soak bench screenshots fmt lint types lock clean \
        package plan deploy destroy rollback fetch-variables smoke callback-url rotate-token set-api-key infra-check

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo BACKEND=emulators     the same on Google's official emulators"
	@echo "  make demo CALLBACK=file.json    with a callback you recorded"
	@echo "  make deploy ENV=staging         another environment; YES=1 answers yes"

setup: $(TOOLS)  ## Install everything, into .venv and .tools

demo: $(VENV)/.installed-cli  ## Send one asset through the whole pipeline, on this machine
	@$(BIN)/transcripts demo --backend $(BACKEND) $(if $(CALLBACK),--callback "$(CALLBACK)")

up: $(VENV)/.installed-cli  ## Keep the whole pipeline up on this machine
	@$(BIN)/transcripts up --backend $(BACKEND)

test: $(TOOLS)  ## Run every test of the pipeline, with coverage
	@$(BIN)/python -m tests.check test

check: $(TOOLS) .tools/checkov/.installed  ## Lint, types, every test, infra/: what CI runs
	@$(BIN)/python -m tests.check

lint: $(VENV)/.installed-dev  ## Lint and format check
	@$(BIN)/python -m tests.check lint

types: $(VENV)/.installed-dev  ## Check types
	@$(BIN)/mypy

soak: $(VENV)/.installed-dev  ## Upload 5,000 files at once, each event three times
	@$(BIN)/python -m tests.soak --backend $(BACKEND)

screenshots: $(VENV)/.installed-dev  ## Take pictures of the pages, into dist/screenshots
	@$(BIN)/python -m tests.browser dist/screenshots

bench: $(VENV)/.installed-dev  ## Measure against the conventional way, side by side
	@$(BIN)/python -m tests.bench

DEPLOY = $(BIN)/python -m cli.deploy
ASKED  = --env "$(ENV)" $(if $(YES),--yes)

package: $(VENV)/.installed-cli  ## Build the zip that is deployed
	@$(DEPLOY) package

plan: $(VENV)/.installed-cli  ## Show what a deployment would change
	@$(DEPLOY) plan --env "$(ENV)"

deploy: $(VENV)/.installed-cli  ## Deploy to Google Cloud: docs/deploy.md
	@$(DEPLOY) deploy $(ASKED) $(if $(ADOPT),--adopt)

destroy: $(VENV)/.installed-cli  ## Take it down; says what it keeps
	@$(DEPLOY) destroy $(ASKED)

callback-url: $(VENV)/.installed-cli  ## Print the URL for Mavi's console
	@$(DEPLOY) callback-url --env "$(ENV)"

rollback: $(VENV)/.installed-cli  ## Deploy the functions of an earlier version: TO=v0.1.0
	@$(DEPLOY) rollback $(ASKED) --to "$(TO)"

fetch-variables: $(VENV)/.installed-cli  ## Get the tfvars file of a deployment that is not yours yet
	@$(DEPLOY) fetch-variables --env "$(ENV)"

smoke: $(VENV)/.installed-cli  ## Prove that a deployment works, with a canary; BUY=file buys one file
	@$(BIN)/transcripts smoke --env "$(ENV)" $(if $(BUY),--buy "$(BUY)")

rotate-token: $(VENV)/.installed-cli  ## Add a new callback token; RETIRE=1 ends the old one
	@$(DEPLOY) rotate-token $(ASKED) $(if $(RETIRE),--retire)

set-api-key: $(VENV)/.installed-cli  ## Replace the key of the Mavi account
	@$(DEPLOY) set-api-key $(ASKED)

infra-check: $(VENV)/.installed-dev .tools/checkov/.installed  ## Check infra/ as far as it can be without an account
	@$(BIN)/python -m pytest --numprocesses 3 --dist worksteal tests/infra tests/deploy

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
