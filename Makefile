# Rail Gun. `make demo` shows it working, `make test` checks it; both install what is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test quick bench soak lint types layers browser docs reference clean constraints

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
PYTEST_PARALLEL := -n auto --dist loadgroup
NPM_RUN := npm --prefix interop/browser run --silent

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: ## install whatever is missing; make .venv with the railgun command
	@tools/setup

demo: setup ## relays and members as real processes, talking (ARGS="--members 20 ...")
	@$(BIN)/railgun demo $(ARGS)

test: setup lint types layers docs browser ## everything that CI checks
	$(PYTEST) $(PYTEST_PARALLEL) $(ARGS)

quick: setup lint types layers browser ## the checks of under three minutes
	$(PYTEST) $(PYTEST_PARALLEL) -m 'not slow and not processes' $(ARGS)

bench: setup ## measure; judges latency and throughput (writes nothing)
	@$(BIN)/python tools/bench.py $(ARGS)

soak: setup ## fuzz every decoder for long, both languages against each other (SECONDS_EACH=60), then half an hour of churn (DEMO_SECONDS=1800), and die at every point
	RAILGUN_HYPOTHESIS_PROFILE=soak RAILGUN_DIFFERENTIAL_CASES=100000 $(PYTEST) tests/property tests/fuzz tests/interop --timeout 0 $(ARGS)
	@$(BIN)/python tools/soak.py --seconds-each $(or $(SECONDS_EACH),60) --demo-seconds $(or $(DEMO_SECONDS),1800)
	@$(BIN)/python tools/crash_points.py --all

lint: setup
	$(BIN)/ruff check .
	$(NPM_RUN) lint

types: setup
	$(BIN)/mypy
	$(NPM_RUN) types

layers: setup
	$(BIN)/lint-imports --no-logo

browser: setup ## compile and test the TypeScript peer, and weigh it
	$(NPM_RUN) test
	$(NPM_RUN) size

docs: setup ## links in docs resolve, the CLI reference is current
	$(BIN)/python tools/check_docs.py
	$(BIN)/python tools/cli_reference.py --check

reference: setup ## rewrite docs/reference/cli.md from the parser
	$(BIN)/python tools/cli_reference.py

constraints: ## rewrite constraints.txt from .venv
	$(BIN)/python tools/freeze_constraints.py

clean: ## remove what was built (.venv too)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage interop/browser/node_modules interop/browser/build
