# Everything starts here: `make help`.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do command -v $$name && break; done)
# notebooks or test processes at a time
JOBS ?= 2

VENV := .venv
INSTALLED := $(VENV)/.installed
# where the site will be published, if known
SITE_URL ?=
AT = $(if $(SITE_URL),--site-url '$(SITE_URL)')
SANITYGAP := $(VENV)/bin/sanitygap
PIP_INSTALL := $(VENV)/bin/python -m pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install book test site full serve pdf linkcheck torture bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

install: $(INSTALLED) ## make .venv with the command sanitygap in .venv/bin

book: $(INSTALLED) ## execute every chapter on the embedded model and photographs, and build the site (minutes)
	$(SANITYGAP) execute --profile quick --run live --jobs $(JOBS)
	@$(SANITYGAP) build --run live $(AT)

test: $(INSTALLED) ## check and test everything, in headless Chromium too
	$(VENV)/bin/ruff check lib tests
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadgroup

REFERENCE ?= $(notdir $(firstword $(sort $(wildcard data/runs/reference-*))))
site: $(INSTALLED) ## build the published site from the recorded runs; REFERENCE=name chooses which run the chapters show
	@test -n '$(REFERENCE)' || { echo 'make: data/runs holds no recorded run reference-*' >&2; exit 2; }
	$(SANITYGAP) execute --run '$(REFERENCE)' --jobs $(JOBS)
	@$(SANITYGAP) build --run '$(REFERENCE)' $(AT)

DEVICE ?= cpu
RUN ?= mine
full: $(INSTALLED) ## the book at the paper's scale: make full MODEL=… IMAGES=… [METHOD=…] [DEVICE=cuda] [RUN=name] [N_IMAGES=n]
	@test -n '$(MODEL)' -a -n '$(IMAGES)' || { echo 'make: say MODEL=… and IMAGES=…, such as MODEL=torchvision:resnet50 IMAGES=folder:photos' >&2; exit 2; }
	$(SANITYGAP) execute --profile full --model '$(MODEL)' --images '$(IMAGES)' \
	  --device '$(DEVICE)' --run '$(RUN)' $(if $(N_IMAGES),--n-images '$(N_IMAGES)') \
	  $(if $(METHOD),--method '$(METHOD)')
	@$(SANITYGAP) build --run '$(RUN)' $(AT)

PORT ?= 8000
serve: $(INSTALLED) ## show the built site on this machine; PORT=number
	@$(SANITYGAP) serve --port '$(PORT)'

pdf: $(INSTALLED) ## print the built site to _build/book.pdf with Chromium
	@$(VENV)/bin/python -m sanitygap.book.pdf

linkcheck: $(INSTALLED) ## try every link of the built site that leads to another site
	@test -d _build/source || { echo 'make: build the site first' >&2; exit 2; }
	$(VENV)/bin/jupyter-book build _build/source --builder linkcheck --path-output _build/linkcheck

torture: $(INSTALLED) ## kill, damage and misspell by the hundred, in twenty minutes
	$(VENV)/bin/python -m tests.torture

bench: $(INSTALLED) ## time both tests against the bare passes, and against Quantus where it is installed
	$(VENV)/bin/python benchmarks/run.py

clean: ## remove the site and the executed chapters; keep the runs and the environment
	rm -rf _build book/_executed .mypy_cache .pytest_cache .ruff_cache .hypothesis

# PyTorch goes first: left to itself, pip may take another build of it for a dependency. Python
# compiles what is imported, when it is imported; pip would compile everything.
$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("make: Python 3.11 or newer is needed; say PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $$(grep -E '^(torch|torchvision)==' constraints.txt)
	$(PIP_INSTALL) --editable '.[book,test]'
	@touch $@
