# Everything a fresh checkout needs: `make search` runs a first search, `make test` the tests, `make check` the checks.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FLAGS ?=
PAPERS ?=
LLM ?=

.PHONY: setup search studio test test-cluster bench check format clean lock

setup: $(READY)

# Rebuilt when the lock file changes or the environment is broken; a half-built one is built over.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "expected Python 3.11 or newer, found $$($(PYTHON) --version); set PYTHON=..." >&2; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@touch $@

search: $(READY)
	$(BIN)/python -m graphs.search $(FLAGS)

# A local LangGraph server over the runs: no key, no account, no internet. FLAGS="--port 2025 --runs DIR".
studio: $(READY)
	$(BIN)/python -m graphs.studio $(FLAGS)

test: $(READY)
	$(BIN)/python -m pytest $(FLAGS)

# Starts Ray clusters on this machine: a minute of processor time.
test-cluster: $(READY)
	$(BIN)/python -m pytest -n 0 -m cluster $(FLAGS)

# Every figure the documentation states, each by one command; some minutes each. PAPERS=FILE.jsonl adds the paper filter,
# LLM="--base-url URL --model NAME --out FILE" the study of a language model: an hour or more with a small one.
bench: $(READY)
	$(BIN)/python -m benchmarks.sandbox
	$(BIN)/python -m benchmarks.verification
	$(BIN)/python -m benchmarks.trainer
	$(BIN)/python -m benchmarks.schedules
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.idea_store
	$(BIN)/python -m benchmarks.default_task --seeds 3
	$(BIN)/python -m benchmarks.fault_mix --seeds 3 --archs 8
	$(BIN)/python -m benchmarks.replay --archs 100
	@test -z "$(PAPERS)" || $(BIN)/python -m benchmarks.paper_filter $(PAPERS)
	@test -z "$(LLM)" || $(BIN)/python -m benchmarks.mutation_formats $(LLM)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	@git ls-files '*.py' ':!tests' | xargs wc -l | awk '$$2 != "total" && $$1 > 400 { print "over 400 lines: " $$2; bad = 1 } END { exit bad }'

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Pins every package for plain pip, from the ranges of pyproject.toml; torch and torchvision go together.
lock:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.14.1 torchvision==0.29.1
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	echo "# Made by 'make lock' from pyproject.toml. What torch needs of CUDA it pins itself, for each platform." > requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | grep -vE '^(nvidia-|cuda-|triton)' >> requirements.lock
	touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
