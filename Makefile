# Every command sets up what it needs; a second run starts at once.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
SDK := .venv-sdk
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CDK := node_modules/.bin/cdk
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE ?=
ARGS ?=

.PHONY: help install demo season test test-sdk check lint types imports tests synth bench lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements-dev.txt requirements/build.txt pyproject.toml
	@test "$$(uname -s)" = Linux || { echo "This runs on Linux, this is $$(uname -s): use a Linux machine or WSL"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned Python packages into $(VENV) (once, some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python tools/link_programs.py
	@touch $@

$(CDK): package.json package-lock.json | $(INSTALLED)
	@echo "Installing the pinned CDK CLI ..."
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

install: $(INSTALLED) $(CDK) ## set up .venv, Node and the CDK CLI

demo: install ## the whole story on this machine: deploy, ETL, train, approve, predict
	@$(BIN)/python -m mlops_cli demo $(ARGS)

season: install ## half a year of retrainings on this machine, most of an hour
	@$(BIN)/python -m mlops_cli season $(ARGS)

test: check ## what CI runs

check: lint types imports tests ## lint, types, imports, tests

lint: install
	@echo "ruff"; $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .

types: install
	@echo "mypy"; $(BIN)/mypy

imports: install
	@echo "import-linter"; PYTHONPATH=.:ml_code/runtime:ml_code/models:ml_code/datasets:ml_code/glue $(BIN)/lint-imports --no-cache | tail -n +9

tests: install
	@$(BIN)/python -m pytest -n auto --no-loadscope-reorder --durations=40 $(ARGS)

synth: install ## synthesize every environment into cdk.out
	@$(CDK) synth --quiet $(ARGS)

bench: install ## side-by-side measurements
	@for each in benchmarks/*.py; do $(BIN)/python $$each; done

test-sdk: install ## the SageMaker SDK's own classes, and the first notebook, against the local AWS (installs 810 MB, once)
	@test -x $(SDK)/bin/python || $(PYTHON) -m venv $(SDK)
	@$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sdk.txt
	@PLATFORM_PYTHON=$(CURDIR)/$(BIN)/python $(SDK)/bin/python -m pytest -c /dev/null --rootdir=. --noconftest -q tests/sdk $(ARGS)

lock: install ## resolve the pinned requirements again
	@$(BIN)/python tools/lock.py

clean: ## remove everything that was installed or built
	@test ! -x $(BIN)/python || $(BIN)/python -m mlops_cli local stop --all 2>/dev/null || true
	@rm -rf $(VENV) $(SDK) .venv-drift .venv-serving node_modules cdk.out .local_aws build constructs/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
