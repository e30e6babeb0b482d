# One virtual environment, .venv, made on first use; a stamp inside it says which extra of pyproject.toml is installed.
PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements.lock
DEMO := .venv/.installed-demo
DEV := .venv/.installed-dev

export PIP_DISABLE_PIP_VERSION_CHECK := 1

define CHECK_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "Farzi needs Python 3.11 or newer as '$(PYTHON)'; name another one: make PYTHON=python3.11 ..." >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo docs test nightly chaos audit lint types bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO) ## Distil real flight data through the whole service and show what the result is worth
	@$(BIN)/farzi demo

docs: $(DEV) ## Build the documentation site into build/site; a broken link fails
	@$(BIN)/python -m docs.website
	@echo "To read it: $(BIN)/python -m http.server --directory build/site 8080, then http://127.0.0.1:8080/"

test: $(DEV) ## Run every test, with real Postgres, Redis, S3 and Celery processes
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

nightly: $(DEV) ## Run the tests that take many minutes: thousands of generated requests
	@OMP_NUM_THREADS=1 $(BIN)/pytest -m nightly

chaos: $(DEV) ## Inject thousands of faults into a service of real processes, and append what came of it to the log
	@$(BIN)/python -m tests.chaos all

audit: $(DEV) ## Look for known vulnerabilities in the locked versions; needs the advisory service osv.dev
	@$(BIN)/pip-audit --requirement $(LOCK) --no-deps --disable-pip --vulnerability-service osv --timeout 20 || { \
		echo "make audit: vulnerabilities were found, or the advisory service did not answer; nothing is known to be safe." >&2; \
		exit 1; }

lint: $(DEV) ## Check style, format and the layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: $(DEV) ## Check types
	@$(BIN)/mypy

bench: $(DEV) ## Race the meta-gradient against other libraries; docs/benchmarks.md names the other benchmarks
	@$(BIN)/python -m bench.metagrad

lock: ## Resolve all dependencies anew and write them to requirements.lock
	@$(CHECK_PYTHON)
	@rm -rf .make/lock
	$(PYTHON) -m venv .make/lock
	.make/lock/bin/python -m pip install --editable '.[dev,bench]'
	.make/lock/bin/python -m pip freeze --exclude-editable | sed 's/+[^ ]*$$//' > $(LOCK)

$(BIN)/python:
	@$(CHECK_PYTHON)
	@$(PYTHON) -m venv .venv

$(DEMO): pyproject.toml $(LOCK) | $(BIN)/python
	@echo "Installing into .venv; the first time takes some minutes."
	@$(BIN)/python -m pip install --constraint $(LOCK) --editable '.[demo]'
	@touch $@

$(DEV): pyproject.toml $(LOCK) | $(BIN)/python
	@echo "Installing into .venv; the first time takes some minutes."
	@$(BIN)/python -m pip install --constraint $(LOCK) --editable '.[dev,bench]'
	@touch $@ $(DEMO)
