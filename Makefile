# Everything that is done with this repository. `make` alone lists it.
#
# Each target makes its environment by itself (.venv) the first time, which takes a few minutes, and finds it ready from
# then on. Variables: PYTHON (3.11 or newer), PIP_FLAGS (options for pip, say the index of
# PyTorch's smaller CPU builds), PHOTO (a picture of your own for the demo), ONLY (sections of the benchmark),
# JOBS (processes for the tests; each may take 3 GB).

PYTHON ?= python3
PIP_FLAGS ?=
PHOTO ?=
ONLY ?=
JOBS ?= 2
WORK ?= build/weights
STAGES ?= autoencoder=240 denoiser=480 control-canny=60 control-depth=60 control-openpose=60
VENV := .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo sheet test lint format weights bench clean

help:  ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/demo.stamp  ## Detect, sample and train for real, on this machine (PHOTO=my.jpg for your own photograph)
	$(RUN) tools/demo.py $(if $(PHOTO),--photo "$(PHOTO)")

sheet: $(VENV)/demo.stamp  ## A contact sheet of every condition, with the networks whose weights are here
	$(RUN) tools/sheet.py

test: $(VENV)/test.stamp  ## Run the whole test suite
	$(RUN) -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/test.stamp $(VENV)/dev.stamp  ## Check style, format and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/dev.stamp  ## Bring the source into its format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

weights: $(VENV)/test.stamp  ## Make the bundled weights anew (hours on a CPU; WORK=folder; run again to continue)
	$(RUN) -m cn.pretrain render $(STAGES) evaluate install --work $(WORK) --images 40000 --conditions 16000

bench: $(VENV)/demo.stamp  ## Measure speed on this machine and print a table (ONLY="decoders openpose" for some)
	$(RUN) tools/bench.py $(ONLY)

clean:  ## Remove the environment and what demo and tools have made
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .mypy_cache

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: installed once, and again when the dependencies change.
$(VENV)/%.stamp: pyproject.toml | $(RUN)
	@echo "Installing cn[$*] into $(VENV) (torch is large: a few minutes the first time) …" >&2
	$(RUN) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --editable '.[$*]'
	@touch $@
