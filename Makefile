.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
BUILD = docker build $(if $(PLATFORM),--platform $(PLATFORM)) --build-arg VERSION=dev --build-arg REVISION=$(shell git rev-parse HEAD)
PORT ?= 8080
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Podium needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.service: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --progress-bar on -e '.[service]'
	@touch $@

# LOCKED=1, for CI: exactly what the locks name, with torch for the CPU.
.venv/.dev: pyproject.toml $(if $(LOCKED),.ci/requirements.txt service/requirements-torch-cpu.txt) | .venv/bin/python
	$(if $(LOCKED),\
	$(BIN)/python -m pip install --quiet --progress-bar on --no-deps --require-hashes -r .ci/requirements.txt && \
	$(BIN)/python -m pip install --quiet --progress-bar on --no-deps --require-hashes \
		--extra-index-url $(TORCH_CPU_INDEX) -r service/requirements-torch-cpu.txt && \
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .,\
	$(BIN)/python -m pip install --quiet --progress-bar on -e '.[dev]')
	@touch $@ .venv/.service

.venv/.bench: pyproject.toml | .venv/.dev
	$(BIN)/python -m pip install --quiet --progress-bar on -e '.[bench]'
	@touch $@

run: .venv/.service ## set everything up and serve the built-in model on port 8080
	PODIUM_PORT=$(PORT) PODIUM_LOG_FORMAT=console $(BIN)/podium serve

lint: .venv/.dev ## check style, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## set everything up, lint, and run every test; ARGS="tests/cli -x" for some
	$(if $(ARGS),$(BIN)/pytest $(ARGS),PYTEST=$(BIN)/pytest tests/run.sh)

bench: .venv/.bench ## measure speed beside Sentence Transformers and ONNX Runtime; FULL=1 for more, ARGS="--budget 8m"
	$(BIN)/podium bench $(if $(FULL),--full --budget 30m) $(ARGS)

soak: .venv/.dev ## everything at once against the service for MINUTES=30, then look whether all is well
	$(BIN)/python tests/soak.py --minutes $(or $(MINUTES),30)

bench-operator: .venv/.dev ## measure the operator with 1,000 Rerankers; needs KUBEBUILDER_ASSETS
	$(BIN)/python tests/cluster/bench_operator.py

e2e: .venv/.dev ## bring up a cluster (PODIUM_CLUSTER_TOOL, else kind), build and load the images, run tests/e2e
	tests/e2e/run.sh $(ARGS)

generate: .venv/.dev ## write anew what follows from other files: CRD, references, tables, charts; needs helm on the PATH
	$(BIN)/python -m podium_operator.resource.crd >manifests/crd.yaml
	$(BIN)/python -m podium_operator.resource.reference >docs/reranker.md
	$(BIN)/python -m podium.dialects.conformance docs/apis.md
	$(BIN)/python tests/test_configuration.py
	$(BIN)/python tests/test_models_document.py
	$(BIN)/python tests/test_repository.py
	$(BIN)/python charts/generate.py

audit: .venv/.dev ## check the installed dependencies and those of the images against the published advisories
	$(BIN)/pip-audit --skip-editable --progress-spinner off
	$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off -r operator/requirements.txt
	$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off \
		-r service/requirements.txt -r service/requirements-torch-cuda.txt

docs: .venv/.dev ## build the site of the documents into build/docs, with no network; a warning is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs build/docs

lock: .venv/.dev ## write anew the locks of images and CI, with the newest versions that pyproject.toml admits
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/lock

image: ## build the images of the service on the CPU and of the operator; PLATFORM=linux/arm64 for another processor
	$(BUILD) -t podium:dev-cpu --target service-cpu .
	$(BUILD) -t podium-operator:dev --target operator .

image-cuda: ## build the image of the service on CUDA
	$(BUILD) -t podium:dev --target service .

release: .venv/.dev ## make all that is published into build/release; ARGS=--dry-run says what is missing (docs/release.md)
	$(BIN)/python .ci/release make $(ARGS)

.PHONY: help run lint test bench soak bench-operator e2e generate audit docs lock image image-cuda release
