# Everything a developer or CI does with Reprise. `make` or `make help` explains; the work is in scripts/.

SHELL := /bin/bash
STEP := scripts/step

# Handed on to the program or runner: make run ARGS=--once, make test ARGS=name_of_a_test
ARGS ?=

# In this order: what is quick comes first. Those that compile share artifacts from clippy on.
CHECKS := fmt style secrets scripts arrows invariants tenants mutants typos unused deny clippy docs migrations schema

.DEFAULT_GOAL := help
.PHONY: help run test faults soak mutants conformance bench bench-micro bench-quick openapi check build fmt clean toolchain $(CHECKS:%=check-%)

help: ## Explain the targets
	@printf 'Reprise: webhook delivery that can be replayed.\n\nUsage: make TARGET [ARGS=...]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables:\n'
	@printf '  %-28s %s\n' \
	    DATABASE_URL 'make run uses this PostgreSQL; unset: a private one, in .dev/pgdata' \
	    REPRISE_TEST_DATABASE_URL 'make test makes its databases there; unset: a throw-away PostgreSQL' \
	    REPRISE_PG_BINDIR 'folder of the PostgreSQL programs to use (scripts/postgres --help)'

run: ## Start PostgreSQL, API, dispatcher and a demo receiver, and show what to try; Ctrl-C stops all
	@scripts/run $(ARGS)

test: ## Run all tests against a throw-away PostgreSQL
	@scripts/test $(ARGS)

faults: ## Prove that nothing is lost: every fault 20 times, root for network cuts and full disks (most of an hour; ARGS=name_of_a_test)
	@scripts/faults $(ARGS)

soak: ## Run an hour at half load with random faults; nothing may be lost, nor grow (ARGS='--minutes 5')
	@scripts/soak $(ARGS)

mutants: toolchain ## Take guards out of the code, one by one, and show which tests fail (an hour; ARGS=name)
	@scripts/mutants $(ARGS)

conformance: ## Run real clients (PyPI, npm) against the real programs: see conformance/
	@scripts/conformance $(ARGS)

bench: ## Measure everything on a durable PostgreSQL and print a table (most of an hour, and some 15 GB of disk)
	@scripts/bench --charts docs $(ARGS)

bench-micro: toolchain ## Measure the pure steps of a delivery: a claim's shares, signing, retry decision, address guard
	@cargo bench --workspace --bench micro -- $(ARGS)

bench-quick: ## The same in short, without what takes minutes
	@scripts/bench --quick $(ARGS)

openapi: toolchain ## Write the OpenAPI document to crates/api/openapi.json, where a test looks for changes of it
	@scripts/build
	@$${CARGO_TARGET_DIR:-target}/debug/reprise-api openapi >crates/api/openapi.json

check: $(CHECKS:%=check-%) ## Run all checks that follow (what CI runs before the tests)
	@printf '\nAll checks passed.\n'

# Says what to install where cargo or a C compiler is missing.
toolchain:
	@scripts/toolchain

fmt $(CHECKS:%=check-%): toolchain

check-fmt: ## The code is formatted (make fmt formats it)
	@$(STEP) check-fmt cargo fmt --all --check

check-style: ## Conventions that no lint knows: environment, #[allow], #[ignore], spawning, SQL
	@$(STEP) check-style scripts/check/style

check-secrets: ## Nothing that is under version control looks like a key, a token or a password
	@$(STEP) check-secrets scripts/check/secrets

check-scripts: ## The shell scripts parse, and shellcheck finds nothing where it is installed
	@$(STEP) check-scripts scripts/check/scripts

check-arrows: ## Crates depend on each other only as designed: api -> core <- dispatcher
	@$(STEP) check-arrows scripts/check/arrows

check-invariants: ## The tests that ARCHITECTURE.md and SECURITY.md name are there
	@$(STEP) check-invariants scripts/check/invariants

check-tenants: ## Each statement over a tenant's table says whose rows it means
	@$(STEP) check-tenants scripts/check/tenants

check-mutants: ## The mutations of make mutants still fit the code, and docs/mutants.md tells of each
	@$(STEP) check-mutants scripts/check/mutants

check-typos: ## Spelling
	@$(STEP) check-typos scripts/check/typos

check-unused: ## Every dependency is used
	@$(STEP) check-unused scripts/check/unused

check-deny: ## Dependencies: bans, licences, sources, and advisories where their database can be reached
	@$(STEP) check-deny scripts/check/deny

check-clippy: ## Lints, on all targets, as errors
	@$(STEP) check-clippy cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

check-docs: ## The documentation builds without a warning
	@RUSTDOCFLAGS='-D warnings' $(STEP) check-docs cargo doc --workspace --no-deps --locked

check-migrations: ## Migrations go up, down and up again
	@$(STEP) check-migrations scripts/check/migrations

check-schema: ## schema.rs agrees with a migrated database
	@$(STEP) check-schema scripts/check/schema

build: ## Build the programs, for development
	@scripts/build $(ARGS)

fmt: ## Format the code
	@cargo fmt --all

clean: ## Remove what was built, fetched or stored: target/ and .dev/, the private PostgreSQL included
	@scripts/clean
