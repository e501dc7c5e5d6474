# Everything starts from `python3` (>= 3.11), `git` and `make`; each target does its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# UV_* : never let uv look for a Python of its own, it would need hosts outside the package index.
export UV_PYTHON_DOWNLOADS := never

.PHONY: help install demo up test test-storm bench lint lock clean

help: ## print this help
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.ok ## build the environment in .venv (only when requirements.lock changed)

$(VENV)/.ok: requirements.lock
	@set -eu; \
	py=""; for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then py=$$p; break; fi; done; \
	[ -n "$$py" ] || { echo "memories-ingest needs Python 3.11 or newer as python3." >&2; exit 1; }; \
	$$py -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing python3-venv with apt-get" >&2; apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
	  else echo "Python's venv module is missing; run: sudo apt-get install python3-venv" >&2; exit 1; fi; }; \
	echo "setting up $(VENV) (first time, or requirements.lock changed)" >&2; \
	$$py -m venv --clear $(VENV); \
	if $(BIN)/python -m pip install -q 'uv>=0.9,<1' \
	  && $(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock \
	  && $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; then :; \
	else \
	  echo "uv did not work here, using pip (slower)" >&2; \
	  $(BIN)/python -m pip install -q --require-hashes -r requirements.lock; \
	  $(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .; \
	fi; \
	touch $@

demo: install ## sandbox + whole service + a sample library, to the end (no key needed)
	@$(BIN)/ingest demo

up: install ## the whole service on this machine (needs MEMORIES_API_KEY)
	@$(BIN)/ingest up

test: install ## all tests but the long storms
	@$(BIN)/python -m pytest -q -m "not storm" -n 3 --dist worksteal

test-storm: install ## the long chaos and scale runs
	@$(BIN)/python -m pytest -q -m storm

bench: install ## measure how much of the limits is used, also while 200 dashboards watch (about seven minutes)
	@$(BIN)/python -m benchmarks.limits
	@$(BIN)/python -m benchmarks.limits --limit 20/s --seconds 30
	@$(BIN)/python -m benchmarks.limits --lane scrape --limit 1/5s --seconds 30
	@$(BIN)/python -m benchmarks.pollers

lint: install ## ruff, mypy, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

lock: ## resolve the dependencies anew into requirements.lock
	@[ -x $(BIN)/uv ] || { python3 -m venv $(VENV) && $(BIN)/python -m pip install -q 'uv>=0.9,<1'; }
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --group dev pyproject.toml -o requirements.lock

clean: ## remove the environment and caches (never your data)
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
