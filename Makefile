# `make` lists what there is to make.
# CARGO_TARGET_DIR and JOBS are respected: `make test JOBS=2`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.SILENT:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Compilers and tests at a time. A test may have a database and an API server to itself, so more than a few want much memory.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 8 ? n : 8)))

CARGO := cargo
# Most tests wait for servers most of the time.
TEST_THREADS ?= $(shell echo $$(($(JOBS) + 2)))

EVERYTHING := --workspace --all-features --locked --jobs $(JOBS)

# How long `make fuzz` gives each target, and which ones it runs.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= jsonpath cel manifests helm

.PHONY: help build demo test lint fuzz bench crds

help: ## list the targets
	echo "Usage: make TARGET"
	echo
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the release binary
	$(CARGO) build --release --locked --jobs $(JOBS)
	echo "built $${CARGO_TARGET_DIR:-target}/release/kollect"

demo: ## a pipeline from manifests to SQLite and files, and two changes as they happen
	JOBS=$(JOBS) examples/demo/run.sh

test: ## all tests, on the real servers that they need (sets those up itself)
	tests/servers/setup.sh
	$(CARGO) test $(EVERYTHING) -- --test-threads=$(TEST_THREADS)

lint: ## format, clippy, documentation, and dependencies (where cargo-deny is installed)
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(EVERYTHING) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(EVERYTHING) --no-deps --quiet
	if command -v cargo-deny > /dev/null; then $(CARGO) deny --all-features check; \
	else echo "cargo-deny is not installed: licences and advisories are not checked (bans are, by make test)"; fi

fuzz: ## each fuzz target for FUZZ_SECONDS (needs a C++ compiler); fails on a finding, and says where its input is
	JOBS=$(JOBS) tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

bench: ## the benches; results go where each bench says
	$(CARGO) bench --workspace --all-features --locked --jobs $(JOBS)

crds: ## write the custom resource definitions into crds/
	$(CARGO) run --quiet --locked --jobs $(JOBS) -- crds --output crds
