# What there is to do here; `make` alone lists it. PYTHON chooses the interpreter of ./.venv, 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format docs bench proof wheel clean

help: ## List the targets
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## Check and build the examples into ./demo with an embedded vocabulary (no model hub)
	$(BIN)/qwen-sft validate examples/clean.jsonl --model qwen3
	@echo
	$(BIN)/qwen-sft validate examples/broken.jsonl --output-format concise; test $$? -eq 1
	@echo "Rejected with exit code 1, as it should be."
	@echo
	rm -rf demo
	$(BIN)/qwen-sft build examples/clean.jsonl examples/thinking.jsonl --model qwen3 --verify all --out demo
	@echo
	$(BIN)/qwen-sft show examples/clean.jsonl --model qwen3 --row 2
	@echo
	@echo "T marks the tokens that are trained. Where to look:"
	@echo "  demo/README.md      the dataset card"
	@echo "  demo/data/          the rows, as Parquet"
	@echo "  demo/manifest.json  every count, hash and setting"
	@echo "  $(BIN)/qwen-sft rule TOL003   what a rule checks, and why"

test: .venv/.test ## Run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: .venv/.test .venv/.bench ## Run the tests that take minutes, install packages or train (installs trl and torch)
	QWEN_SFT_THOROUGH=1 $(BIN)/python -m pytest -n auto --dist worksteal -m slow
	QWEN_SFT_THOROUGH=1 $(BIN)/python -m pytest -n auto --dist worksteal tests/test_families.py
	$(BIN)/python -m pytest -n auto tests/test_traced.py

check: .venv/.test .venv/.check ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: .venv/.check ## Format the code, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.installed ## Write the pages of docs/rules from the rules' own files
	$(BIN)/python docs/rule_pages.py

bench: .venv/.bench ## Run the benchmarks beside their peers (installs trl and torch)
	$(BIN)/python benchmarks/run.py

proof: .venv/.bench ## Train a tiny model on what build writes, and on what it refuses; keep both numbers (minutes)
	$(BIN)/python benchmarks/proof/prove.py --docs docs/proof.md

wheel: .venv/.test ## Build the source archive and the wheel into ./dist
	$(BIN)/python -m build --no-isolation --outdir dist

clean: ## Take away ./.venv and all that was built
	rm -rf .venv demo dist build *.egg-info .pytest_cache .hypothesis .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv .venv

# A stamp per extra: nothing is installed again until pyproject.toml changes.
.venv/.installed: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

.venv/.test .venv/.check .venv/.bench: .venv/.%: pyproject.toml | .venv/.installed
	$(INSTALL) --editable '.[$*]'
	@touch $@
