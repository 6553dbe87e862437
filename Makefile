# `make help` lists the targets. The text after `##` is a target's help text.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
RUN := $(BIN)/python -m prospect_rl.experiments
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Only set on make's command line: environment variables with these names are ignored.
TIER :=
SEEDS :=
WORKERS :=
AGENTS :=
NAME :=
MINUTES :=
TIMES :=
EXPERIMENT :=
TRIALS :=
DECLARED := $(shell grep -lE '^EXPERIMENT\b.*=' experiments/papers/*/*.py)
EXPERIMENTS := $(notdir $(DECLARED:.py=))

# A variable on the command line that a target does not take is an error. The target's help lists those it takes.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter line,$(origin $(name))),$(name)))
TAKES = $(if $(filter $(1),$(EXPERIMENTS)),TIER SEEDS WORKERS AGENTS,$(shell awk -v goal='$(1):' ' \
  index($$0, goal) == 1 { known = 1; while (match($$0, /[A-Z]+=/)) { \
    print substr($$0, RSTART, RLENGTH - 1); $$0 = substr($$0, RSTART + RLENGTH) } } \
  END { if (!known) print "$(GIVEN)" }' Makefile))
STRANGE := $(filter-out PYTHON $(foreach goal,$(or $(MAKECMDGOALS),help),$(call TAKES,$(goal))),$(GIVEN))
ifeq ($(MAKELEVEL),0)
ifneq ($(STRANGE),)
$(error $(shell $(PYTHON) -c 'import difflib, re, sys; name, goal = sys.argv[1:3]; \
  known = sorted({"PYTHON", *re.findall(r"[\[ ]([A-Z]+)=[a-z.]", open("Makefile").read())}); \
  near = difflib.get_close_matches(name, known, 1, 0.5); \
  hint = "did you mean %s?" % near[0] if near else "known: " + ", ".join(known); \
  print("make %s takes no %s" % (goal, name) if name in known else "unknown variable %s; %s" % (name, hint))' \
  $(firstword $(STRANGE)) $(or $(firstword $(MAKECMDGOALS)),help)))
endif
endif

##@ Start here
.PHONY: help
help: ## Show this list of targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile
	@printf '\nExperiments: make NAME [TIER=smoke|repro|paper|gpu] [SEEDS=n] [WORKERS=n] [AGENTS=a,b]\n'
	@for file in $(DECLARED); do \
	  printf '  %-18s %s\n' "$$(basename $$file .py)" "$$(sed -n 's/^ *title="\(.*\)",$$/\1/p' $$file | head -1)"; done

.PHONY: setup
setup: $(STAMP) ## Create .venv and install everything (with uv if available, else pip); does nothing if up to date

.PHONY: demo
demo: $(STAMP) ## Train SERENE on the hard maze as a demonstration, one or two minutes
	@$(RUN) run serene maze/hard --budget 100000

.PHONY: doctor
doctor: $(STAMP) ## Check the installation on this machine and report what is missing
	@$(RUN) doctor

##@ Check
.PHONY: test
test: $(STAMP) ## Run the fast tests, several minutes [JOBS=n]
	@NPROC=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup -m "not slow"

.PHONY: test-slow
test-slow: $(STAMP) ## Run the slow tests, longer than the fast ones [JOBS=n]
	@NPROC=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup -m slow

.PHONY: test-gpu
test-gpu: $(STAMP) ## Run the tests of an accelerator, in one process, minutes; tests/gpu/README.md says what is left out
	@JAX_PLATFORMS=cuda,cpu $(BIN)/python -m pytest -q -p no:xdist -m gpu tests/gpu

.PHONY: test-rliable
test-rliable: ## Compare our statistics with rliable's, in .venv-rliable (its dependencies conflict with ours)
	@$(PYTHON) -m venv .venv-rliable
	@.venv-rliable/bin/python -m pip install --quiet --disable-pip-version-check -r tests/rliable.txt
	@.venv-rliable/bin/python -m pytest -q -p no:cacheprovider tests/parity/test_rliable.py

.PHONY: soak
soak: $(STAMP) ## Kill sweeps at random for 30 minutes; each must end with the files of an undisturbed sweep [MINUTES=n]
	@$(BIN)/python -m tests.reliability.soak $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: kills
kills: $(STAMP) ## Repeat the tests that kill parts of a cluster, three minutes each time [TIMES=n]
	@for i in $$(seq $(or $(TIMES),20)); do echo "$$i of $(or $(TIMES),20)"; \
	  NPROC=1 $(BIN)/python -m pytest -q -m slow --durations=0 tests/reliability/test_cluster.py; done

.PHONY: lint
lint: $(STAMP) ## Check style, format and types with ruff and pyright
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet --diff .
	@$(BIN)/pyright --warnings

.PHONY: format
format: $(STAMP) ## Sort imports and format the code with ruff
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format --quiet .

##@ Read
.PHONY: docs
docs: ## Build a site of all pages and the API into build/docs, for use without network (Sphinx, in .venv-docs)
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@JAX_PLATFORMS=cpu .venv-docs/bin/python -m sphinx -c docs -d build/doctrees -W --keep-going --quiet . build/docs
	@.venv-docs/bin/python -m tests.site_links build/docs
	@echo build/docs/index.html

##@ Measure
.PHONY: sweep
sweep: $(STAMP) ## Run an experiment without a report, on the cluster at RAY_ADDRESS if set [EXPERIMENT=it TIER=... SEEDS=n WORKERS=n AGENTS=a,b]
	@$(RUN) sweep $(EXPERIMENT) $(if $(TIER),--tier $(TIER)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(if $(AGENTS),--agents $(AGENTS))

.PHONY: search
search: $(STAMP) ## Tune an agent's hyper-parameters as an experiment declares [EXPERIMENT=it TRIALS=n WORKERS=n]
	@$(RUN) search $(EXPERIMENT) $(if $(TRIALS),--trials $(TRIALS)) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: report
report: $(STAMP) ## Rewrite results/ from the committed tables, or one experiment's report from its runs [NAME=it]
	@$(RUN) report $(or $(NAME),--all)

.PHONY: defaults
defaults: $(STAMP) ## Compare every agent's default run with random and zero actions, hours; resumes [WORKERS=n]
	@$(RUN) defaults $(if $(WORKERS),--workers $(WORKERS))

.PHONY: bench
bench: $(STAMP) ## Measure speed and memory into results/bench/ [NAME=one of them]
	@$(RUN) bench $(NAME)

##@ Tidy up
.PHONY: clean
clean: ## Remove .venv, caches and builds, but never results
	@rm -rf $(VENV) .venv-rliable .venv-docs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find agents envs experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: $(EXPERIMENTS)
$(EXPERIMENTS): $(STAMP)
	@$(RUN) run $@ $(if $(TIER),--tier $(TIER)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(if $(AGENTS),--agents $(AGENTS))

# One stamp for all targets: `make -j test lint` runs the set-up once, and an interrupted set-up is repeated.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Prospect needs Python 3.11 or newer: try make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV); \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@

.DEFAULT:
	$(error no target or experiment '$@': `make help` lists them)
