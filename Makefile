# `make demo` and `make test` do all set-up on a machine that has Python 3.11-3.13 with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_STUDY = demo

.PHONY: demo test test-all test-train lint gpu clean

## Search search_spaces/demo.yaml on this machine, print the Pareto front and how to open the dashboard.
demo: $(VENV)/.installed
	$(BIN)/piip-explore search search_spaces/demo.yaml --study $(DEMO_STUDY)

## Lint, type-check and run the tests that are not marked slow (pyproject.toml says which are).
test: lint
	$(PYTEST) -m "not slow"

## The same with every test, as CI does. Some drive a browser, servers and killed processes while others take the cores:
## what fails gets one more run, and the summary lists it.
test-all: lint
	$(PYTEST) --reruns 1 -rfER

# Two processes of one thread each: each takes half of the tests, and then of what the other has left.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

## Test full training, and models against and for timm and transformers, in an environment of their own: torchvision wants
## a newer torch than the other tests have.
TRAIN_VENV ?= .venv-train
TRAIN_TESTS = tests/train tests/integrations tests/models/test_timm_branches.py
test-train: $(TRAIN_VENV)/.installed
	OMP_NUM_THREADS=1 $(TRAIN_VENV)/bin/python -m pytest $(TRAIN_TESTS)

## All that only a GPU can tell, into runs/gpu-day-DEVICE/; DEVICE=cpu is a dry run. Installs nothing: GPU_PYTHON has torch.
DEVICE ?= cuda
GPU_PYTHON ?= $(PYTHON)
GPU_OUT ?= runs/gpu-day-$(DEVICE)
gpu:
	$(GPU_PYTHON) -m benchmarks.gpu_day --device $(DEVICE) --out $(GPU_OUT)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("piip-explore needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[proxy,dashboard]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

$(TRAIN_VENV)/.installed: pyproject.toml constraints.txt constraints-train.txt
	$(PYTHON) -m venv $(TRAIN_VENV)
	sed '/^torch==/d' constraints.txt | cat - constraints-train.txt > $(TRAIN_VENV)/constraints.txt
	$(TRAIN_VENV)/bin/python -m pip install --quiet --constraint $(TRAIN_VENV)/constraints.txt --editable ".[train,timm,transformers]" \
	  hypothesis psutil pytest pytest-timeout
	@touch $@

clean:
	rm -rf $(VENV) $(TRAIN_VENV) dist
