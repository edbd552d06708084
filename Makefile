# ledgerkit: everything on a fresh machine needs Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: help demo test lint bench faults example clean

help: ## say what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/'

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/base ## the whole story, from scans to SQL, on the built-in corpus
	PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh

test: $(VENV)/dev ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; \
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types && exit $$tests

lint: $(VENV)/dev ## format, lint and types
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

bench: $(VENV)/dev ## all benchmarks, each against its peer in the same run
	$(BIN)/python -m benchmarks

faults: $(VENV)/dev ## a fault at every file-system call, eight writers for a minute, 10,000 flipped bits
	$(BIN)/python -m ledgerkit.testing.faults --workers $(WORKERS)
	$(BIN)/python -m ledgerkit.testing.writers --seconds 60
	$(BIN)/python -m ledgerkit.testing.flips --count 10000

example: $(VENV)/base ## draw the example repository anew and run every phase on it
	PATH="$(abspath $(BIN)):$$PATH" scripts/example.sh

clean: ## remove the virtual environment and what the demo made
	chmod -R u+w demo-archive 2>/dev/null || true
	rm -rf $(VENV) demo-archive build dist
