# One command a task, the same on a laptop and in CI. `make help` lists them.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PYTHON_IN_VENV := $(VENV)/bin/python
CODE := flows schemas tests deploy

.PHONY: help
help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1#\2/' | tr '#' '\t' | expand -t 20

.PHONY: demo
demo: $(VENV)/installed  ## a simulated shop and its live numbers; DEMO_SECONDS=30 ends it after 30 s
	@$(VENV)/bin/tidegauge demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

.PHONY: test
test: $(VENV)/installed  ## all tests; TESTS="tests/metrics -k sessions" for some of them
	@$(PYTHON_IN_VENV) -m pytest $(TESTS)

.PHONY: check
check: $(VENV)/installed  ## lint, format and types
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --scripts-are-modules deploy/kafka/kafka tests/services.py tests/conftest.py

.PHONY: docs
docs: $(VENV)/installed  ## write flows/METRICS.md anew from the catalogue
	@$(VENV)/bin/tidegauge schema metrics > flows/METRICS.md

.PHONY: bench
bench: $(VENV)/installed  ## events per second and core, from a real Kafka; BENCH="--events 1000000" for its options
	@$(PYTHON_IN_VENV) deploy/bench/bench.py $(BENCH)

.PHONY: bench-page
bench-page: $(VENV)/installed  ## write the tables of deploy/bench/PERFORMANCE.md anew from deploy/bench/results.json
	@$(PYTHON_IN_VENV) -m deploy.bench.page

.PHONY: kafka
kafka:  ## a real Kafka in the foreground, on KAFKA_PORT (9092); Ctrl-C stops it
	@exec deploy/kafka/kafka run --port $(or $(KAFKA_PORT),9092)

.PHONY: lock
lock: $(VENV)/installed  ## pin what pyproject.toml asks for; LOCK=--upgrade moves to the newest versions
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --extra demo --extra dev \
		--fork-strategy fewest --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' $(LOCK) \
		pyproject.toml --output-file requirements.lock

# The environment is rebuilt when the lock says something else, and only then: git gives files new times at will.
$(VENV)/installed: requirements.lock pyproject.toml
	@set -euo pipefail; \
	if ! cmp --silent requirements.lock $(VENV)/requirements.lock; then \
		python=$$(deploy/find-python); \
		echo "make: building $(VENV) with $$($$python --version); this takes a minute" >&2; \
		$$python -m venv --clear $(VENV); \
		$(PYTHON_IN_VENV) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
		cp requirements.lock $(VENV)/requirements.lock; \
	fi; \
	$(PYTHON_IN_VENV) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	touch $@
