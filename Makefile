.DEFAULT_GOAL := help
.PHONY: help setup demo test check generate bench docs clean

VENV := .venv/bin

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## The locked environment in .venv, from a bare machine
	@scripts/setup

demo: setup ## The whole path on this machine, and what arrived
	@$(VENV)/assay demo

test: ## Everything: set-up, checks, all tests
	@scripts/setup --tests
	@$(MAKE) --no-print-directory check
	@$(VENV)/pytest

check: setup ## Lint, types, who imports whom, generated files
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(VENV)/pyright
	@$(VENV)/lint-imports --no-logo
	@$(VENV)/python -m assay.semconv.generate --check

generate: setup ## Write what is generated from the registry
	@$(VENV)/python -m assay.semconv.generate

bench: setup ## Measure against the floors in docs/explanation/benchmarks.md
	@$(VENV)/python -m benchmarks

docs: setup ## The documentation as a site, in site/
	@$(VENV)/mkdocs build --strict

clean: ## Remove the environment and what was built
	@rm -rf .venv .uv site dist
