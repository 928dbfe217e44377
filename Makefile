# `make demo` and `make test` need nothing but Python 3.11 or 3.12 and the package registries.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
BIN := .venv/bin
DEMO ?=
GPU ?=
# Processes that test side by side: one more than cores, since some tests wait for a server.
TESTERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(TESTERS) --no-loadscope-reorder

# Tests start many processes: what they import is compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo gpu test test-long test-full format clean

setup: .venv/demo.stamp

demo: .venv/demo.stamp
	@$(BIN)/sixrayd demo $(DEMO)

# `make gpu GPU=--tiny` measures the same parts on a CPU, in a minute or two.
gpu: .venv/demo.stamp
	@$(BIN)/python -m benchmarks.gpu $(GPU)

test: .venv/dev.stamp tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not long"

test-long: .venv/dev.stamp tools
	$(PYTEST) -m "long and not longest"

test-full: test test-long
	$(PYTEST) -m longest

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ .venv/demo.stamp

# Browser tests need Chromium, those of rar archives bsdtar; without these, and without the right to
# install them, such tests skip.
.PHONY: tools
tools:
	@{ command -v chromium && command -v bsdtar; } >/dev/null || { [ "$$(id -u)" = 0 ] \
	  && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq chromium libarchive-tools >/dev/null; } \
	  || echo "chromium or bsdtar is not installed: tests that need it will be skipped"
