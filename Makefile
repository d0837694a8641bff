# `make help` lists the targets. Everything runs in .venv, which the first target makes.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without byte code, each process that a test starts compiles the program again.
unexport PYTHONDONTWRITEBYTECODE
EXTRAS := ann,cluster,corpus,hub,index,onnx,postgres,qdrant,serve,track,train

.PHONY: help demo test check fmt lint types contracts unit system gpu golden wheel docs clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.train ## Set up; train the tiny recipe on real text, then find translations with it.
	@PATH="$(CURDIR)/$(BIN):$$PATH" recipes/tiny/run.sh runs/tiny

test: $(VENV)/.dev ## Set up; run all checks and all tests.
	$(MAKE) -j2 --output-sync=line check
	$(MAKE) -j2 --output-sync=line instruction-sets system

# The contracts are among the unit tests: tests/test_architecture.py.
check: $(VENV)/.dev fmt-check lint types unit ## Format, lint, types, import contracts, unit tests.

fmt: $(VENV)/.dev ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: fmt-check
fmt-check: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev ## Lint and spell.
	$(BIN)/ruff check .
	$(BIN)/typos

types: $(VENV)/.dev ## Types, strictly.
	$(BIN)/mypy

contracts: $(VENV)/.dev ## Layers: imports point down.
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## Unit, parity and golden tests, with coverage.
	$(BIN)/pytest -n auto --dist loadfile -m "not system and not gpu" --cov --cov-report=term

# What a newer processor computes must hold on an older one: the tests of int8 and float32 again.
.PHONY: instruction-sets
instruction-sets: $(VENV)/.dev ## Parity of the runtimes with lesser instruction sets.
	for isa in AVX2 GENERIC; do \
	  CT2_FORCE_CPU_ISA=$$isa ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/pytest -q \
	    tests/parity/test_sentence_transformers.py tests/unit/encoder/runtimes || exit 1; \
	done

system: $(VENV)/.dev browser ## The program as a user runs it.
	$(BIN)/pytest -n auto --dist loadgroup -m "system and not gpu"

# Each script says how to go on for as long as one likes; `make system` has a short round of most.
FAULTS := "kill.py --times 10" "fuzz.py --times 5000" "options.py --times 300" \
  "disturb.py --times 1" "bombs.py" "load.py --minutes 5"
.PHONY: faults
faults: $(VENV)/.dev ## Kill, disturb and mislead the commands at random. Takes long.
	for script in $(FAULTS); do $(BIN)/python tests/faults/$$script || exit 1; done

.PHONY: browser
browser: $(VENV)/.dev ## A browser for the tests of the page; without one they are skipped.
	tests/system/browser.sh $(BIN)

gpu: $(VENV)/.dev ## Tests that need a CUDA device.
	$(BIN)/pytest -m gpu

golden: $(VENV)/.dev ## Rewrite the frozen outputs; review the diff.
	LABSE_REWRITE_GOLDEN=1 $(BIN)/pytest tests/golden

wheel: $(VENV)/.dev ## Build the wheel and try it in an empty environment without torch.
	tests/system/wheel.sh $(PYTHON)

.PHONY: release-check
release-check: ## Build a release and try it: metadata, sizes, lowest versions, every extra. Takes long.
	tests/system/release.sh $(PYTHON)

docs: $(VENV)/.docs ## Build the documentation as a site; open site/index.html.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## Remove what the targets made.
	rm -rf $(VENV) site dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

# ---- Environments ----
# torch comes first and alone: on Linux an unpinned torch brings gigabytes of CUDA libraries.
# Few of the 22,000 modules are ever imported: Python compiles those then, pip would compile all now.
INSTALL := $(BIN)/pip install --no-compile --constraint constraints.txt

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Set-up in $(VENV), once: torch first, with a bar for each download; then labse and its extra train."
	$(INSTALL) torch
	$(INSTALL) --quiet --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(INSTALL) --quiet --editable '.[$(EXTRAS)]' --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(INSTALL) --quiet --group docs
	@touch $@
