# The commands that run in automation are the ones you run at your desk.
PYTHON ?= python3
BIN := .venv/bin
RECIPE ?= demo
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo test test-all lint bench fuzz docs install lock

demo: .venv/use
	@$(BIN)/sadcl demo --recipe $(RECIPE)

test: .venv/dev
	$(BIN)/pytest -m "not slow" -n 2 --no-loadscope-reorder --durations=30 --durations-min=3

test-all: .venv/dev
	$(BIN)/pytest

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.review_load
	$(BIN)/python -m benchmarks.startup

# Some minutes a format; CASES=2000 for a shorter look.
CASES ?= 20000
fuzz: .venv/dev
	$(BIN)/python -m benchmarks.fuzz --cases $(CASES)

# The site in site/, which opens without a server: site/index.html. The variable silences a notice about Material's
# successor; a broken link or a missing page is still an error.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

install: .venv/use

.venv/use: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.venv/dev: requirements-dev.lock .venv/use
	$(BIN)/python -m pip install --quiet -r requirements-dev.lock
	@touch $@

.venv/docs: requirements-docs.lock .venv/use
	$(BIN)/python -m pip install --quiet -r requirements-docs.lock
	@touch $@

# All locks from pyproject.toml, portable: without `+cpu`, which names a build of torch, and without this folder.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet pip-tools
	.venv-lock/bin/pip-compile $(LOCK) --extra $(EXTRAS) -o requirements.lock pyproject.toml
	$(PORTABLE) requirements.lock
	.venv-lock/bin/pip-compile $(LOCK) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(PORTABLE) requirements-dev.lock
	.venv-lock/bin/pip-compile $(LOCK) --extra $(EXTRAS),docs -c requirements-dev.lock -o requirements-docs.lock pyproject.toml
	$(PORTABLE) requirements-docs.lock
	rm -r .venv-lock
PORTABLE := sed -i 's/+cpu//; /^sadcl @/d'
EXTRAS := pipeline,team,export
LOCK := --quiet --upgrade --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
