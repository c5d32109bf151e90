# `make demo` and `make test` do all set-up on a machine that has Python 3.11-3.13 with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_STUDY = demo

.PHONY: demo test lint clean

## Search search_spaces/demo.yaml on this machine, print the Pareto front and how to open the dashboard.
demo: $(VENV)/.installed
	$(BIN)/piip-explore search search_spaces/demo.yaml --study $(DEMO_STUDY)

## Lint, type-check and test.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("piip-explore needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
