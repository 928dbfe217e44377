# `make demo` and `make test` need nothing but Python 3.11 or 3.12 and the package registries.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
BIN := .venv/bin
DEMO ?=
GPU ?=
LOCK ?=
# Processes that test side by side: one more than cores, since some tests wait for a server.
TESTERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(TESTERS) --no-loadscope-reorder

# Tests start many processes: what they import is compiled once, not by each of them; the tests
# themselves by one that only collects them.
unexport PYTHONDONTWRITEBYTECODE
COMPILE = $(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1

.PHONY: setup demo gpu test test-long test-full format docs lock licences clean

setup: .venv/demo.stamp

demo: .venv/demo.stamp
	@$(BIN)/sixrayd demo $(DEMO)

# `make gpu GPU=--tiny` measures the same parts on a CPU, in a minute or two.
gpu: .venv/demo.stamp
	@$(BIN)/python -m benchmarks.gpu $(GPU)

test: .venv/dev.stamp tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(COMPILE) & $(BIN)/mypy; passed=$$?; wait; exit $$passed
	$(PYTEST) -m "not long"

test-long: .venv/dev.stamp tools
	$(PYTEST) -m "long and not longest"

test-full: test test-long
	$(PYTEST) -m longest

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site, in build/site; a link that leads nowhere ends it.
docs: .venv/dev.stamp
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

# All but torch is checked against hashes; what torch brings depends on the platform.
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation
LOCKED = $(PIP) --no-deps --require-hashes

.venv/demo.stamp: pyproject.toml $(wildcard requirements/*.txt) | .venv/bin/python
	$(LOCKED) -r requirements/build.txt
	$(LOCKED) -r requirements/demo.txt
	$(PIP) -c requirements/torch.txt torch
	$(PIP) --no-deps -e .
	@touch $@

.venv/dev.stamp: .venv/demo.stamp
	$(LOCKED) -r requirements/dev.txt
	$(PIP) -r requirements/torch.txt
	@touch $@

# `make lock LOCK=--upgrade` takes new versions, else what fits is kept.
lock: .venv/dev.stamp
	$(BIN)/python requirements/lock.py $(LOCK)

licences: .venv/dev.stamp
	$(BIN)/python requirements/licences.py

# Browser tests need Chromium, those of rar archives bsdtar; without these, and without the right to
# install them, such tests skip.
.PHONY: tools
tools:
	@{ command -v chromium && command -v bsdtar; } >/dev/null || { [ "$$(id -u)" = 0 ] \
	  && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq chromium libarchive-tools >/dev/null; } \
	  || echo "chromium or bsdtar is not installed: tests that need it will be skipped"
