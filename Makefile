# Each verb does its own set-up, in .venv and nowhere else: no root, no cluster, no conda.
# Another interpreter: make run PYTHON=/path/to/python3.12 (remove .venv first if it was made with another one).

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test lint bench docs

# The commands of .venv come first, except while .venv itself is made: a broken one must not be asked to mend itself.
OUTER_PATH := $(subst $(CURDIR)/$(VENV)/bin:,,$(PATH))
export PATH := $(CURDIR)/$(VENV)/bin:$(OUTER_PATH)
$(STAMP): export PATH := $(OUTER_PATH)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

run: $(STAMP) ## install, run the test campaign and print its sensitivity table
	snakemake --profile profiles/test
	radsens table config/test.yaml

test: $(STAMP) ## install and run the whole test suite
	pytest -n 2 --dist worksteal

lint: $(STAMP) ## install and check style, imports, types and workflow
	ruff check .
	ruff format --check .
	lint-imports
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/test.yaml

bench: $(STAMP) ## install and print speed ratios against the NumPy baseline and a peer
	@python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("punpy") is None)' \
	    || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary --editable '.[bench]' \
	    || echo "The peer cannot be installed here: its rows will be absent." >&2
	python -m benchmarks

docs: $(STAMP) ## install and regenerate the reference pages and the configuration's JSON schema
	python -m radsens.products.reference

# A .venv is kept when it was made at this very place (a copied checkout brings one whose commands point elsewhere), runs
# a Python that radsens supports and has pip (python3 -m venv leaves a shell without pip where ensurepip is lacking).
SUPPORTED := import sys; sys.exit(sys.version_info < (3, 11))
KEPT = ( set +u; . $(VENV)/bin/activate && test "$$VIRTUAL_ENV" = "$(CURDIR)/$(VENV)" \
    && $(VENV)/bin/python -c '$(SUPPORTED)' && $(VENV)/bin/python -m pip --version ) > /dev/null 2>&1

ifneq ($(shell cat $(STAMP) 2> /dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml
	@$(KEPT) || { \
	    $(PYTHON) -c '$(SUPPORTED)' 2> /dev/null \
	        || { echo "radsens needs Python 3.11 or later, which '$(PYTHON)' is not: install it, or name one with PYTHON=/path/to/python3." >&2; exit 2; }; \
	    $(PYTHON) -c 'import ensurepip, venv; ensurepip.version()' 2> /dev/null \
	        || { echo "'$(PYTHON)' cannot make a virtual environment because it lacks venv or ensurepip: install them (Debian, Ubuntu: apt install python3-venv)." >&2; exit 2; }; \
	    echo "Making $(VENV)"; \
	    $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing radsens and what it needs in $(VENV) (a minute or two the first time)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary --editable '.[dev]'
	@echo '$(CURDIR)' > $@
