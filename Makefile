.DEFAULT_GOAL := help
.PHONY: help setup wheels demo test check fuzz soak generate bench load docs clean

VENV := .venv/bin

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the locked environment in .venv
	@scripts/setup

wheels: ## Build the wheels of all packages in dist/
	@scripts/build-wheels

demo: setup ## Run the whole path on this machine and print what arrived (a minute or two on two cores)
	@echo "The demo takes a minute or two on two cores; the first one also builds the Collector, which takes minutes." >&2
	@$(VENV)/assay demo

test: ## Set up, check, and run all tests
	@scripts/setup --tests
	@$(MAKE) --no-print-directory check
	@$(VENV)/pytest

check: setup ## Check style, types, imports between packages, generated files
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(VENV)/pyright
	@$(VENV)/lint-imports --no-logo
	@$(VENV)/python -m assay.semconv.generate --check

MINUTES ?= 1
fuzz: setup ## Test properties with new examples, and fuzz each parser for MINUTES minutes (default 1)
	@$(VENV)/pytest -q -m hypothesis --hypothesis-profile=default
	@for target in $$(ls tests/fuzz/corpus); do \
		mkdir -p .fuzz/$$target/new && echo "fuzzing $$target" && (cd .fuzz/$$target && \
		../../$(VENV)/python ../../tests/fuzz/run.py $$target new ../../tests/fuzz/corpus/$$target \
			-max_total_time=$$(( $(MINUTES) * 60 )) -timeout=10 -print_final_stats=1) || exit 1; \
	done

soak: setup ## Kill the parts of the audit path at random for MINUTES minutes (default 1); loses no record
	@SOAK_MINUTES=$(MINUTES) $(VENV)/pytest -q tests/collector/test_audit_delivery.py -k soak

generate: setup ## Generate files from the registry
	@$(VENV)/python -m assay.semconv.generate

bench: setup ## Run the benchmarks of docs/explanation/benchmarks.md
	@$(VENV)/python -m benchmarks

load: setup ## Load the exporter host for MINUTES minutes (default 1) and print its memory over time
	@$(VENV)/python -m benchmarks.full_load --minutes $(MINUTES)

docs: setup ## Build the documentation site in site/
	@$(VENV)/mkdocs build --strict

clean: ## Remove the environment and build output
	@rm -rf .venv .uv .fuzz site dist
