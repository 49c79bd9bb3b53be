# Everything starts here: `make help`.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do command -v $$name && break; done)
# notebooks or test processes at a time
JOBS ?= 2

VENV := .venv
INSTALLED := $(VENV)/.installed
SANITYGAP := $(VENV)/bin/sanitygap
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help book test site full bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

book: $(INSTALLED) ## execute every chapter on the embedded model and photographs, and build the site (minutes)
	$(SANITYGAP) execute --profile quick --run live --jobs $(JOBS)
	@$(SANITYGAP) build --run live

test: $(INSTALLED) ## check and test everything, in headless Chromium too
	$(VENV)/bin/ruff check lib tests
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadgroup

REFERENCE ?= $(notdir $(firstword $(sort $(wildcard data/runs/reference-*))))
site: $(INSTALLED) ## build the published site from the recorded runs; REFERENCE=name chooses which run the chapters show
	@test -n '$(REFERENCE)' || { echo 'make: data/runs holds no recorded run reference-*' >&2; exit 2; }
	$(SANITYGAP) execute --run '$(REFERENCE)' --jobs $(JOBS)
	@$(SANITYGAP) build --run '$(REFERENCE)'

DEVICE ?= cpu
RUN ?= mine
full: $(INSTALLED) ## the book at the paper's scale: make full MODEL=… IMAGES=… [DEVICE=cuda] [RUN=name] [N_IMAGES=n]
	@test -n '$(MODEL)' -a -n '$(IMAGES)' || { echo 'make: say MODEL=… and IMAGES=…, such as MODEL=torchvision:resnet50 IMAGES=folder:photos' >&2; exit 2; }
	$(SANITYGAP) execute --profile full --model '$(MODEL)' --images '$(IMAGES)' \
	  --device '$(DEVICE)' --run '$(RUN)' $(if $(N_IMAGES),--n-images '$(N_IMAGES)')
	@$(SANITYGAP) build --run '$(RUN)'

bench: $(INSTALLED) ## time both tests against the bare passes, and against Quantus where it is installed
	$(VENV)/bin/python benchmarks/run.py

clean: ## remove the site and the executed chapters; keep the runs and the environment
	rm -rf _build book/_executed .mypy_cache .pytest_cache .ruff_cache .hypothesis

# PyTorch goes first: left to itself, pip may take another build of it for a dependency.
$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("make: Python 3.11 or newer is needed; say PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $$(grep -E '^(torch|torchvision)==' constraints.txt)
	$(PIP_INSTALL) --editable '.[book,test]'
	@touch $@
