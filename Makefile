# Two commands for everybody: make demo, make test. The others are for those who change the code.
SHELL := /bin/bash
UV_VERSION := 0.13.9
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
TEST_PROCESSES ?= 3

.PHONY: setup setup-tests test-images demo dev test check fix e2e bench bench-large docs lock clean r-image

$(VENV)/.ready: requirements.lock pyproject.toml
	scripts/system-packages base
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -c "from egress_review.parsing.inside import work; work.warm('.ipynb')"  # a sandbox keeps no .pyc
	touch $@

.images/python.ready: $(VENV)/.ready workspace_images/python/requirements.lock workspace_images/python/image.toml workspace_images/python/build
	$(BIN)/python workspace_images/python/build

.images/r.ready: $(VENV)/.ready workspace_images/r/packages.lock workspace_images/r/image.toml workspace_images/r/build
	$(BIN)/python workspace_images/r/build --newer --update

r-image: .images/r.ready  ## R in workspaces (optional; Debian's apt, 60 s)

setup: $(VENV)/.ready .images/python.ready
	scripts/compile-translations

setup-tests: setup
	scripts/system-packages tests

test-images: setup-tests .images/r.ready  ## what the tests of images start from; kept in .images/
	workspace_images/base/build

demo: setup  ## set everything up, start the enclave on loopback, print addresses and sample people
	$(BIN)/enclave demo

dev: setup  ## the demo, with a project in every state
	$(BIN)/enclave demo --seed

test: setup-tests test-images  ## set everything up, run all tests, several files at a time
	$(BIN)/python scripts/run-tests --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: setup  ## never edits
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate-docs --check

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/generate-docs

e2e: setup-tests  ## the browser journeys; their screenshots are those of docs/
	ENCLAVE_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/pytest tests/e2e

bench: setup
	for benchmark in benchmarks/*_*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

bench-large: setup  ## TPC-H at scale 10, 60 million rows; 20 GB of disk, about 25 minutes
	$(BIN)/python benchmarks/gateway_tpch.py --scale 10 --repeat 3
	$(BIN)/python benchmarks/gateway_stream.py --scale 10 --repeat 3
	$(BIN)/python benchmarks/gateway_dask.py --scale 10

docs: setup
	$(BIN)/python scripts/generate-docs

lock:
	$(UV) compile --quiet --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 --all-extras --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(UV) compile --quiet --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" workspace_images/python/requirements.in -o workspace_images/python/requirements.lock
	$(BIN)/python workspace_images/r/build --lock

clean:
	rm -rf .venv .images build *.egg-info
