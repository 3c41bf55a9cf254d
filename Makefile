# make demo | test | check: the only three that a newcomer needs; each sets itself up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
ARGS ?=
WORKERS ?= 2
JUDGED := */mainspring/kernel/*,*/mainspring/security/*,*/mainspring/data/*,*/mainspring/develop/*,*/mainspring/deliver/*,*/mainspring/serve/*,*/mainspring/observe/*
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
unexport PYTHONDONTWRITEBYTECODE # tests start many processes, and each would compile everything anew

.PHONY: help setup demo test check test-all bench lint format types imports coverage docs lock

help: ## show the targets
	@grep -hE '^[a-z%-]+:.*## ' Makefile | sed -E 's/^([a-z%-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## make .venv from the locked requirements
	@scripts/setup

demo: setup ## the whole loop on real data, start to report (ARGS=--json for scripts)
	@$(BIN)/mainspring demo $(ARGS)

test: setup ## the tests that need no outside tool, under four minutes
	@EXAMPLES=40 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not tools" $(ARGS)

check: lint types imports coverage ## everything a change must pass

test-all: setup ## every test, the slow ones and those with real tools included
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

lint: setup ## style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## put style right
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

types: setup ## static types
	@$(BIN)/mypy

imports: setup ## who may import whom
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

coverage: setup ## tests with branch coverage; the kernel, security and the layers must reach 90 %
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not tools" --cov=mainspring --cov-report= $(ARGS)
	@$(BIN)/coverage report --include='$(JUDGED)' --fail-under=90

bench: setup ## our own measurements
	@set -e; for file in benchmarks/bench_*.py; do echo "$$file"; $(BIN)/python "$$file" $(ARGS); done

bench-%: setup ## one measurement by name
	@$(BIN)/python benchmarks/bench_$(subst -,_,$*).py $(ARGS)

docs: setup ## write the generated pages again
	@$(BIN)/python scripts/docs.py

lock: setup ## pin the requirements again
	@scripts/lock
