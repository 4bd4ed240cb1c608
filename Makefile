# make chat   set everything up and start the chat
# make test   set everything up and run every check
#
# Needs Python 3.11 or newer and make. Both install into .venv/ once and again when pyproject.toml or
# constraints.txt changes. PIP_ARGS goes to pip, for example PIP_ARGS=--index-url=... for another package index.

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

.PHONY: help chat test install install-test lint format clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

chat: install
	@echo "Starting the chat (Ctrl-Q leaves it)."
	@$(BIN)/fromage-lite chat

test: install-test lint
	@echo "Running the tests."
	$(BIN)/python -m pytest -x --numprocesses 2 --dist loadfile

lint: install-test
	@echo "Checking style, types and the direction of imports."
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else \
	"fromage_lite needs Python 3.11 or newer; this is %d.%d. Name another one: make PYTHON=python3.12" % v)'
	@echo "Making the virtual environment $(VENV)/ with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	echo "Python could not make a virtual environment; on Debian and Ubuntu install python3-venv."; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing fromage_lite into $(VENV)/: a few minutes and some gigabytes, once."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing fromage_lite and its test tools into $(VENV)/: a few minutes and some gigabytes, once."
	$(INSTALL) --editable '.[test]'
	@# Alone: the faiss-cpu that it asks for would overwrite faiss-gpu.
	$(INSTALL) --no-deps milvus-lite
	@touch $@ $(VENV)/.installed
