# Two commands for a machine that has Python >= 3.11 and make:
#   make demo    a dirty source file through four layers
#   make test    lint, types, import contracts, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-nightly lint types imports unit bench bench-quick clean

demo: $(READY)
	@$(BIN)/jobforge demo

test: lint types imports unit

# Memory, a fresh checkout, fifteen times the examples of the property tests, and a replay of
# every batch that the tests of the pipeline made.
test-slow: $(READY)
	$(BIN)/pytest -m slow
	HYPOTHESIS_PROFILE=slow $(BIN)/pytest -q -n 2 tests/readers tests/contracts tests/pipeline/test_odd_names.py
	JOBFORGE_REPLAY_ALL=1 $(BIN)/pytest -q -n 2 tests/pipeline tests/quality

# 50,000 examples of each property, a kill at every file operation: hours.
test-nightly: $(READY)
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -q -n 2 tests/readers tests/contracts tests/pipeline/test_odd_names.py tests/storage tests/crash

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/pytest -n 2

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

bench-quick: $(READY)
	$(BIN)/python benchmarks/bench.py --quick

# The constraints hold for the build's own packages too, so that tomorrow's install is today's.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "jobforge needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check -e '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
