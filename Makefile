# Every target sets up what it needs, in .local/. Rust (by rustup), Python 3.11 or newer and a C compiler have
# to be there. Only `sam-local` needs Docker, and says so where there is none.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# What `build` builds for: arm64 or x86_64. `sam deploy` has to be told the same.
ARCHITECTURE ?= arm64
# How many events `fuzz` sends to each function.
RUNS ?= 10000000
ENVIRONMENTS := $(PYTHON) dev/environments.py
CLIENTS := .local/venv-clients/bin/python

export SAM_CLI_TELEMETRY := 0
export AWS_EC2_METADATA_DISABLED := true

.PHONY: help demo up down test test-rust policy-test prove mutants fuzz bench test-e2e test-browser screenshots costs \
	costs-record sam-local check build sbom clean

help: ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: clients ## Show the main job: guarded operations and a sweep over ninety days of a fleet, on the emulator
	@$(CLIENTS) dev/demo.py

up: clients ## Keep a deployed stack running on the emulator; writes .local/stack.env
	@$(CLIENTS) dev/stack.py up $(PARAMETERS)

down: clients ## End what `up` started
	@$(CLIENTS) dev/stack.py down

test: test-rust prove test-browser test-e2e costs ## Run every test that passes without Docker

test-rust: ## Run the tests of the workspace: unit, property, acceptance
	@$(PYTHON) dev/fast.py test --workspace

policy-test: ## Check the policies, and run their cases
	@cargo run --quiet --locked --package cli -- policy test $(POLICIES)

prove: ## Prove claims about the shipped access policy, for every request there can be
	@$(PYTHON) dev/prove.py

mutants: ## Change access, rules, plan and application in many small ways, and see that the tests notice (three hours)
	@$(PYTHON) dev/mutants.py

fuzz: ## Send ten million made-up events to each function (RUNS=10000000)
	@FUZZ_RUNS=$(RUNS) $(PYTHON) dev/fast.py test --workspace --test fuzz -- --nocapture

bench: ## Measure it beside its peers, on loopback; writes target/bench/results.json (QUICK=1: three minutes)
	@$(PYTHON) dev/bench.py

test-e2e: clients ## Run the end-to-end tests against the deployed stack on the emulator
	@$(ENVIRONMENTS) openapi
	@$(CLIENTS) dev/stack.py build
	@$(CLIENTS) -m pytest tests/e2e --timeout 600 $(PYTEST_ARGS)

test-browser: ## Draw and click the pages of reports in headless Chromium
	@$(PYTHON) dev/browser.py test $(PYTEST_ARGS)

screenshots: clients ## Take the pictures of the README anew
	@$(PYTHON) dev/browser.py screenshots
	@$(CLIENTS) dev/stack.py build
	@$(CLIENTS) -m pytest --quiet tests/e2e/test_cli.py -k found_in_the_archive --terminal-to docs/terminal.svg

costs: clients ## Compare sizes, instructions and memory with what is recorded: the same numbers on every machine
	@$(CLIENTS) dev/stack.py build
	@$(PYTHON) dev/costs.py

costs-record: clients ## Measure them, and write the record anew
	@$(CLIENTS) dev/stack.py build
	@$(PYTHON) dev/costs.py record

sam-local: clients ## Run every event with `sam local invoke`, and `sam local start-api` (needs Docker)
	@$(CLIENTS) tests/sam_local/run.py

check: ## Formats, lints, docs, dependencies, the template with its roles, and the tests of dev/ and clients/
	@$(ENVIRONMENTS) sam checks clients openapi security
	@$(PYTHON) dev/check.py

build: ## Build what `sam deploy` deploys, with the deployed profile, into .aws-sam/
	@$(ENVIRONMENTS) sam cross
	@PATH="$$PWD/.local/venv-cross/bin:$$PWD/.local/venv-sam/bin:$$PATH" $(PYTHON) dev/auditable.py sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@$(PYTHON) dev/zips.py

sbom: ## Write what each function is made of, as CycloneDX, into target/sbom/
	@$(PYTHON) dev/sbom.py $(ARCHITECTURE)

clean: down ## Remove what the targets made, except for cargo's target/
	@rm -rf .local .aws-sam

.PHONY: clients
clients:
	@$(ENVIRONMENTS) clients
