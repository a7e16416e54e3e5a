# Everything that is done with the source tree; `make help` lists it.
#
# Needs make and Python 3.11 or newer with its venv module. All else goes into .venv, and nowhere else.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Hundreds of processes import the packages, and none shall compile them again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
# One more than two cores: many tests wait, for a browser, a process or the end of a time.
WORKERS ?= 3

# With BROWSER=no, the tests that need Chromium or a proxy are left out, and pytest says so at its end.
BROWSER ?= yes
NEEDS := $(if $(filter no,$(BROWSER)),,programs)
LEFT_OUT := $(if $(filter no,$(BROWSER)),--no-browser)

# With LONG=yes, the tests that take seconds each run as well; each goes further than a test that always runs.
# Hypothesis then tries other examples in each run.
LONG ?= no
LEFT_OUT += $(if $(filter yes,$(LONG)),--long --hypothesis-profile=random)

VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
INSTALLED := $(VENV)/.installed

# A module of Python, which Ctrl-C ends without a traceback.
MODULE := -c 'import runpy, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); \
	runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)'

# Node comes with .venv; it checks and builds the JavaScript, and nothing runs on it.
JS := clients/js
JS_INSTALLED := $(JS)/node_modules/.installed
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $(JS) --silent

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: up
up: $(RUNNABLE) ## Start the whole pipeline here; ARGS="…" goes to `fanline up`
	@exec $(BIN)/fanline up $(ARGS)

.PHONY: up-cluster
up-cluster: $(INSTALLED) ## Start a cluster here: three NATS servers and two of each service; ARGS as for up
	@exec $(BIN)/fanline up --cluster $(ARGS)

.PHONY: test
test: $(JS_INSTALLED) $(NEEDS) ## Lint, check the types and run every test; ARGS="…" goes to pytest; BROWSER=no, LONG=yes
	@$(MAKE) --jobs=3 --output-sync=target lint types jstest
	@exec $(BIN)/python -m pytest -n $(WORKERS) $(LEFT_OUT) $(ARGS)

.PHONY: lint
lint: $(INSTALLED) $(JS_INSTALLED) ## Check the style, the formatting, the imports and the words
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.words
	@$(NPM) run lint

.PHONY: js
js: $(JS_INSTALLED) ## Build chat/static/fanline.js from clients/js, and format the JavaScript
	@$(NPM) run format
	@$(NPM) run build

.PHONY: jstest
jstest: $(JS_INSTALLED) ## Run the unit tests of the JavaScript
	@$(NPM) test

.PHONY: types
types: $(INSTALLED) ## Check the types, strictly
	@$(BIN)/mypy

.PHONY: verify
verify: $(RUNNABLE) ## Break a pipeline for a minute, and check every promise; ARGS="…" goes to `fanline verify`
	@exec $(BIN)/fanline verify --duration 60 $(ARGS)

.PHONY: conformance
conformance: $(INSTALLED) ## Hold the WebSockets of the services against RFC 6455, with the cases of Autobahn
	@exec $(BIN)/python -m pytest -n 0 --long tests/fanline/server/websocket/test_conformance.py $(ARGS)

.PHONY: trial
trial: $(INSTALLED) $(NEEDS) ## Use the chat page for half an hour, by people in turn, while servers are killed; ARGS="…"
	@exec $(BIN)/python -m tests.chat.browsers.trial $(ARGS)

.PHONY: verify-alerts
verify-alerts: $(INSTALLED) ## Break services on purpose, and see each alert fire
	@$(MAKE) --no-print-directory programs PROGRAMS=prometheus
	@exec $(BIN)/python -m pytest -n 0 --long tests/deploy/test_alerts.py $(ARGS)

.PHONY: verify-cluster
verify-cluster: $(INSTALLED) ## Run the long tests of a cluster: three NATS servers, and a hostile journal
	@exec $(BIN)/python -m pytest -n 0 --long tests/msgqueue/journal tests/msgqueue/store/replica \
		tests/msgqueue/store/conformance tests/pipeline/test_several_msgqueues.py \
		tests/fanline/cli/up/test_cluster.py tests/fanline/verify/cluster $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure along with other servers; ARGS="…" goes to `python -m bench`
	@exec $(BIN)/python -m bench $(or $(ARGS),all)

.PHONY: coverage
coverage: $(INSTALLED) $(NEEDS) ## Run every test, and list the lines and branches that none reaches
	@exec $(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term-missing $(LEFT_OUT) $(ARGS)

.PHONY: docs
docs: $(INSTALLED) ## Write again what is generated in docs/
	@$(BIN)/python -m tests.test_docs

.PHONY: constraints
constraints: ## Pin the newest versions of all dependencies in constraints.txt
	$(check_python)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	echo "Resolving the dependencies in a clean environment"; \
	"$$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --editable '.[dev]'; \
	echo '# The exact version of every package, direct or not; `make constraints` writes this file.' \
		> "$$scratch/constraints.txt"; \
	"$$scratch/venv/bin/pip" freeze --disable-pip-version-check --exclude-editable \
		>> "$$scratch/constraints.txt"; \
	cp "$$scratch/constraints.txt" constraints.txt
	@$(MAKE) hashes

# For every platform, so that an installation on any of them takes the files that were looked at here.
.PHONY: hashes
hashes: ## Write requirements*.txt: the files of the packages in constraints.txt, by their hashes
	$(check_python)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/pip" install --quiet --disable-pip-version-check uv; \
	compile() { \
		{ echo "# What .[$$1] needs, by hashes; \`make hashes\` writes this file."; \
		  echo 'setuptools' | "$$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 \
			--generate-hashes --no-annotate --no-header --constraint constraints.txt \
			--extra $${1//,/ --extra } pyproject.toml -; \
		} > "$$scratch/$$2"; cp "$$scratch/$$2" "$$2"; }; \
	compile cli,cluster,otel requirements.txt; \
	compile dev requirements-dev.txt

.PHONY: clean
clean: ## Remove all that make has made; never var/, which holds the log and the keys
	@rm -rf $(VENV) $(JS)/node_modules $(JS)/dist build dist htmlcov .coverage .coverage.* *.egg-info .*_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# Made from nothing whenever what is to be installed has changed: first what running needs, then the tools.
# The stamps come last, so that an interrupted installation is not taken for a whole one.
$(RUNNABLE): pyproject.toml requirements.txt
	$(check_python)
	@printf 'Installing into $(VENV), once; this takes some seconds '
	@$(PYTHON) $(MODULE) venv --clear $(VENV)
	$(call install,--no-deps --require-hashes --requirement requirements.txt)
	$(call install,--no-deps --no-build-isolation --editable .)
	@echo
	@touch $@

$(INSTALLED): $(RUNNABLE) requirements-dev.txt
	@printf 'Installing the tools into $(VENV), once; this takes about a minute '
	$(call install,--no-deps --require-hashes --requirement requirements-dev.txt)
	@echo
	@touch $@

$(JS_INSTALLED): $(JS)/package-lock.json $(JS)/.npmrc | $(INSTALLED)
	@missing=; $(BIN)/node --version > /dev/null 2>&1 || missing=' libatomic1'; $(call debian,$$missing)
	@echo 'Installing into $(JS)/node_modules, once; this takes some seconds'
	@$(NPM) ci
	@touch $@

# What pip cannot bring is installed where that may be done without asking, or named. `programs` checks for what the
# tests run: browsers for the web page, and proxies to be behind. The shell takes a fifth less CPU than Chromium, which
# does as well.
CHROMIUM := chromium-headless-shell
PROGRAMS := $(if $(shell command -v chromium),,$(CHROMIUM)) firefox-esr nginx haproxy \
	$(if $(filter yes,$(LONG)),prometheus)

.PHONY: programs
programs:
	@missing=; for program in $(PROGRAMS); do \
		PATH="$$PATH:/usr/sbin" command -v $$program > /dev/null || missing="$$missing $$program"; done; \
	$(call debian,$${missing/nginx/nginx-light},; without: make test BROWSER=no)

define debian
packages="$(1)"; if [ -n "$$packages" ]; then \
	if [ "$$(id -u)" = 0 ]; then run=; else run='sudo -n'; fi; \
	if command -v apt-get > /dev/null && $$run true 2> /dev/null; then \
		echo "Installing$$packages, once, for the tests"; \
		{ $$run apt-get update -q && \
		  $$run env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$packages; \
		} > /dev/null; \
	else \
		echo "make: the tests need$$packages: install with: apt-get install$$packages$(2)" >&2; \
		exit 1; \
	fi; \
fi
endef

define install
@$(BIN)/python $(MODULE) pip install --disable-pip-version-check --no-input --progress-bar off $(1) | $(dots)
endef

# One dot for each package, in place of pip's hundred lines; its errors go to standard error untouched.
define dots
while read -r word _; do if [ "$$word" = Collecting ]; then printf .; fi; done
endef

define check_python
@command -v $(PYTHON) > /dev/null || { \
	echo "make: there is no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; \
	exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	echo "make: $$($(PYTHON) --version) is too old, Fanline needs 3.11 or newer; name one: make PYTHON=python3.11" >&2; \
	exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	echo "make: $$($(PYTHON) --version) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
	exit 1; }
endef
