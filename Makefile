# `make` or `make help` lists what can be done. Set-up happens once and again only when its inputs change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
IMAGE ?= localhost/kcloud-exporter:latest
BASE ?= docker.io/library/python:3.11-slim-bookworm
CONTAINER_TOOL ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.installed ## Start the demo: a simulated fleet and its power ledger (first time: sets up .venv)
	@exec $(BIN)/kcloud-exporter demo $(ARGS)

# Most tests wait, for other programs or for time to pass: more run side by side than there are processors.
JOBS ?= $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) * 2 : 8 )))

.PHONY: test
test: $(VENV)/.installed-dev debian-packages lint ## Lint, type-check and run all tests, real programs included (JOBS=4)
	$(BIN)/pytest --numprocesses $(JOBS) $(ARGS)

.PHONY: lint
lint: $(VENV)/.installed-dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed-dev ## Format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(VENV)/.installed ## Run the reproducible benchmark
	@exec $(BIN)/kcloud-exporter bench $(ARGS)

# The files hold hashes for all platforms and name no index, so that they install through any mirror.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

SEED ?= 1
SAMPLE ?= 40
MINUTES ?= 30

.PHONY: chaos
chaos: $(VENV)/.installed-dev ## Faults at random for some minutes, kill -9 included (DURATION=120 SEED=1)
	@$(BIN)/python -m tests.chaos.run --seconds $(or $(DURATION),120) --seed $(SEED)

.PHONY: soak
soak: $(VENV)/.installed-dev ## Faults at random for long: slopes of memory and files (DURATION=3600 SEED=1)
	@$(BIN)/python -m tests.chaos.run --seconds $(or $(DURATION),3600) --seed $(SEED) --kill-every 0

.PHONY: load
load: $(VENV)/.installed-dev ## Fifty clusters of which some hang, explode, stall: what it costs the others (DURATION=40)
	@$(BIN)/python -m tests.chaos.load --seconds $(or $(DURATION),40)

.PHONY: versions
versions: $(VENV)/.installed-dev ## From an older version to this one and back, on one folder (OLDER=commit TIMES=20)
	@$(BIN)/python -m tests.chaos.versions --older $(OLDER) --times $(or $(TIMES),20)

.PHONY: mutation
mutation: $(VENV)/.installed-dev ## Small mistakes in the ledger that tests must notice (SAMPLE=40, 0 is all; MINUTES=30)
	@$(BIN)/python -m tests.chaos.mutation --sample $(SAMPLE) --minutes $(MINUTES)

.PHONY: sbom
sbom: ## Write build/sbom.json: what is shipped, with hashes (CycloneDX)
	@mkdir -p build
	@$(PYTHON) requirements/sbom.py build/sbom.json
	@echo "build/sbom.json"

# A tool of its own place: what it needs must not come into the locked environment.
.PHONY: audit
audit: $(VENV)/.created ## Ask whether anything that is shipped is known to be vulnerable (pip-audit)
	@[[ -x $(VENV)/audit/bin/pip-audit ]] || { $(PYTHON) -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip --quiet --disable-pip-version-check install pip-audit; } || \
		{ echo "SKIPPED: pip-audit cannot be installed, so nobody was asked" >&2; exit 0; }; \
	code=0; $(VENV)/audit/bin/pip-audit --require-hashes --disable-pip -r requirements/base.txt \
		>$(VENV)/audit/said 2>&1 || code=$$?; cat $(VENV)/audit/said; \
	if grep -qE '^Found [0-9]+ known' $(VENV)/audit/said; then exit $$code; fi; \
	if (( code )) || grep -q 'could not be audited' $(VENV)/audit/said; then \
		echo "SKIPPED, in part or in whole: the advisory database does not answer for the packages above" >&2; fi

.PHONY: lock
lock: $(VENV)/.created ## Write requirements/*.txt from pyproject.toml (ARGS=--upgrade: newest versions)
	$(PIP) install uv
	$(COMPILE) requirements/build.in --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) pyproject.toml --extra dev --constraint requirements/base.txt --output-file requirements/dev.txt

.PHONY: image
image: ## Build the container image (IMAGE=..., BASE=..., CONTAINER_TOOL=docker|podman|buildah)
	@[[ -n "$(CONTAINER_TOOL)" ]] || { echo "None of docker, podman, buildah was found" >&2; exit 1; }
	$(CONTAINER_TOOL) build $(if $(filter docker,$(CONTAINER_TOOL)),,--format docker) \
		--build-arg BASE=$(BASE) --tag $(IMAGE) .

.PHONY: clean
clean: ## Remove .venv, caches and build output (not data/)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis kcloud_exporter.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# On CI a missing program is an error; on a workstation its tests are skipped and say so.
.PHONY: debian-packages
debian-packages:
	@.ci/apt-install $$(grep -v '^#' tests/real/debian-packages.txt) || [[ "$${CI:-}" != true ]]

# Debian's python3 lacks ensurepip until python3-venv is there.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/apt-install python3-venv
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements/build.txt requirements/base.txt pyproject.toml
	@echo "Installing the locked requirements into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/base.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@
