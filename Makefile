# Everything a fresh machine needs is Python 3.11 or newer and make.
#   make demo   compare every strategy in the on-sale scenario (under a minute on two cores)
#   make test   the tests, on real servers as far as these are here (`holdfast doctor` says)
#   make live   the live tests with many repetitions (see docs/compose.md)
#   make ablation  every safeguard switched off in turn, and caught (some minutes)
#   make lint   formatting, lint, types
#   make bench  speed and memory   make clean  remove what these made
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
DEMO ?= compare on-sale --runs 8
BENCHMARKS := $(wildcard tests/benchmarks/bench_*.py)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-simulated test-live live lint bench ablation clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/holdfast $(DEMO)

test: test-simulated test-live

test-simulated: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --ignore tests/live

# One at a time: they measure real servers.
test-live: $(INSTALLED)
	$(BIN)/python -m pytest -n 0 tests/live

live: $(INSTALLED)
	$(BIN)/python -m pytest -n 0 -m live tests/live

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ablation: $(INSTALLED)
	$(BIN)/python -m tests.ablation.report

bench: $(INSTALLED)
	for benchmark in $(BENCHMARKS); do PYTHONPATH=. $(BIN)/python $$benchmark || exit 1; done

# Installed again only when pyproject.toml changes; an installation cut short leaves no stamp.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old (Python 3.11 or newer is needed): make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist holdfast-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
