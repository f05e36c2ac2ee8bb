# Everything a fresh machine needs is Python (>= 3.11) and make; pip's own configuration is honoured.
PYTHON ?= python3
VENV := .venv
DEMO := .venv-demo
BIN := $(VENV)/bin

# First-party distributions in the order they install; each has its own pyproject.toml.
DISTS := $(patsubst %/pyproject.toml,%,$(wildcard core/pyproject.toml plugins/*/pyproject.toml))
STAMP := $(VENV)/.installed-$(shell cat $(addsuffix /pyproject.toml,$(DISTS)) constraints.txt requirements-dev.txt Makefile | cksum | cut -d' ' -f1)
DEMO_STAMP := $(DEMO)/.installed-$(shell cat core/pyproject.toml plugins/mini/pyproject.toml Makefile | cksum | cut -d' ' -f1)

.PHONY: help demo test test-all lint docs format clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(DEMO_STAMP) ## rerank real passages with the embedded default; needs no torch and no download of a model
	$(DEMO)/bin/python examples/demo.py

test: $(STAMP) ## run the tests (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow"

test-all: test ## then the slow ones: real clients in environments of their own, a browser, peers
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation site, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: $(STAMP) ## let ruff format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove environments, caches and built files
	rm -rf $(VENV) $(DEMO) .venv-clients site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find core plugins integrations tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements-dev.txt $(foreach dist,$(DISTS),-e ./$(dist))
	touch $@

$(DEMO_STAMP):
	$(PYTHON) -m venv $(DEMO)
	rm -f $(DEMO)/.installed-*
	$(DEMO)/bin/python -m pip install --quiet ./core ./plugins/mini bm25s
	touch $@
