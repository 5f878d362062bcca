# Every task of this repository; `make` alone lists them.
#
# The first target that you run creates the environment it needs (.venv), which takes a few minutes; later ones reuse it.
# Variables: PYTHON (3.11 or newer), PIP_FLAGS (options for pip, such as the index of PyTorch's smaller CPU builds),
# PHOTO (a photograph of your own for the demo), FIGURES (options of the tools that make figures, such as --dry-run),
# ONLY (sections of the benchmark, experiments of the paper), JOBS (processes for the tests, each of which may take 3 GB;
# runs at a time of the paper), MINUTES (of a session of the paper), GPUS (that train the bundled weights), STAGES and EACH
# (minutes of the base's stages, and of each ControlNet and judge), WORK (the folder of their training), UV (the uv
# program) and EXCEPT (versions to test with instead of the lowest), both for `make lowest`.

PYTHON ?= python3
PIP_FLAGS ?=
PHOTO ?=
ONLY ?=
FIGURES ?=
JOBS ?= 2
UV ?= uv
EXCEPT ?=
MINUTES ?= 0
WORK ?= build/weights
STAGES ?= autoencoder=240 denoiser=480
EACH ?= 60
GPUS ?= 1
CONTROLS := canny hough hed scribble openpose openpifpaf ade20k coco depth normal lineart
POOL = --work $(WORK) --images 40000 --conditions 16000
VENV := .venv
RUN := $(VENV)/bin/python
LOWEST := build/lowest
# A process that dies (for want of memory) ends the run: pytest-xdist would wait for its tests for ever.
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help demo sheet gallery figures check test lint format dist lowest weights bench paper paper-quick clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/demo.stamp  ## Detect, sample and train on this machine, in minutes (PHOTO=my.jpg for your own photograph)
	$(RUN) -m tools.demo $(if $(PHOTO),--photo "$(PHOTO)")

sheet: $(VENV)/demo.stamp  ## A contact sheet of every condition, with the networks whose weights are on this machine
	$(RUN) tools/sheet.py

gallery: $(VENV)/demo.stamp  ## Sample the figures of docs/gallery.md that are not there or not of today's weights (FIGURES="--preview")
	$(RUN) -m tools.gallery $(FIGURES)

figures: $(VENV)/test.stamp  ## Make the other images and the tables of the docs, those that need training last (resumable)
	$(RUN) -m tools.figures $(FIGURES)

check: lint  ## Before each commit: style, types and the fast tests (under 90 s on two cores)
	$(RUN) -m pytest $(PARALLEL) -m "not slow"

test: $(VENV)/test.stamp  ## Run the whole test suite
	$(RUN) -m pytest $(PARALLEL)

lint: $(VENV)/test.stamp $(VENV)/dev.stamp  ## Check style, format and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/dev.stamp  ## Format the source and fix what ruff can fix
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

dist: $(VENV)/dev.stamp  ## Build the sdist and the wheel into dist/
	rm -rf dist
	$(RUN) -m build --no-isolation

lowest:  ## Run the tests with the lowest versions that pyproject.toml allows (needs uv; EXCEPT="torch==2.9.1" overrides some)
	mkdir -p $(LOWEST)
	$(UV) venv --quiet --clear --python $(PYTHON) $(LOWEST)/venv
	printf '%s\n' $(EXCEPT) > $(LOWEST)/overrides.txt
	$(UV) pip install --quiet --python $(LOWEST)/venv --resolution lowest-direct \
	  --override $(LOWEST)/overrides.txt --editable '.[test]'
	$(LOWEST)/venv/bin/python -m pytest $(PARALLEL)

weights: $(VENV)/test.stamp  ## Train the bundled weights from scratch (hours on a CPU; WORK=folder; run again to continue)
	$(RUN) -m cn.pretrain render $(STAGES) reader=$(EACH) dense=$(EACH) $(CONTROLS:%=control-%=$(EACH)) evaluate install \
	  --gpus $(GPUS) $(POOL)

bench: $(VENV)/demo.stamp  ## Measure speed on this machine and print a table (ONLY="decoders openpose" for some sections)
	$(RUN) tools/bench.py $(ONLY)

paper: $(VENV)/test.stamp  ## Repeat the paper's experiments, in sessions (ONLY="fig21 cost" JOBS=4 MINUTES=25): docs/paper.md
	$(RUN) -m tools.paper --jobs $(JOBS) --minutes $(MINUTES) $(if $(ONLY),--only $(ONLY))

paper-quick: $(VENV)/test.stamp  ## The same, so small that it proves no more than that all of it works (minutes)
	$(RUN) -m tools.paper --quick --jobs $(JOBS) --device cpu

clean:  ## Remove the environment and everything that these targets create
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .mypy_cache

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: they are installed once, and again when pyproject.toml changes.
$(VENV)/%.stamp: pyproject.toml | $(RUN)
	@echo "Installing controlnet-cn[$*] into $(VENV) (torch is large: a few minutes the first time) …" >&2
	$(RUN) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --editable '.[$*]'
	@touch $@
