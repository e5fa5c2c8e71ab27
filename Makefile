# `make run` starts everything, `make test` runs every test. Both need python3 (3.11 or later) with venv, and no root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/clients/node_modules/.installed integrations/zapier/node_modules/.installed

.PHONY: run test lint bench lock clean

run: $(VENV)/.installed
	@exec $(BIN)/python -m webapp.launch

test: $(VENV)/.installed-dev $(NODE)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }

# Installed again only when the lock changes.
$(VENV)/.installed: requirements.lock | $(BIN)/python
	@echo "Installing what is locked in requirements.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock | $(BIN)/python
	@echo "Installing what is locked in requirements-dev.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@ $(VENV)/.installed

# Without Node the tests that need it are skipped, and say so.
$(NODE): %/node_modules/.installed: %/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund --prefix $* && touch $@; fi

lock: $(VENV)/.installed-dev
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --upgrade -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --upgrade -q -o requirements-dev.lock

clean:
	rm -rf $(VENV) $(dir $(NODE)) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
