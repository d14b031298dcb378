# One command a task, the same on a laptop and in CI. `make help` lists them.

SHELL := /bin/bash
# Where this is set, each of hundreds of processes compiles all sources anew.
unexport PYTHONDONTWRITEBYTECODE
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
AUDIT := .cache/audit
PYTHON_IN_VENV := $(VENV)/bin/python
# Half of the tests' time is waiting for servers. A file stays together, and with it what its tests share; the longest
# come first (tests/conftest.py). Three brokers and the jobs that read them need the machine for themselves.
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --ignore tests/brokers
BROKEN := all_injuries.py all_away.py coordinator_away.py test_dead_letters.py
CODE := flows schemas tests deploy
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

.PHONY: help
help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1#\2/' | tr '#' '\t' | expand -t 20

.PHONY: demo
demo: $(VENV)/installed  ## a simulated shop and its live numbers; DEMO_SECONDS=30 ends it after 30 s
	@$(VENV)/bin/tidegauge demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

.PHONY: test
test:  ## all tests, three files at a time, and the servers they need; TESTS="tests/scenarios -k funnel": some, one by one
	@$(if $(TESTS),,deploy/install-needs || echo "make: going on without; their tests are skipped" >&2)
	@$(MAKE) --silent $(VENV)/installed
	@$(if $(TESTS),,$(PYTHON_IN_VENV) -m tests.warm)
	@$(PYTHON_IN_VENV) -m pytest $(or $(TESTS),tests/brokers)
	@$(if $(TESTS),,$(PYTHON_IN_VENV) -m pytest $(SIDE_BY_SIDE))

.PHONY: thorough
thorough: $(VENV)/installed  ## laws, histories, recorded data with four times the tries of make test, weeks of alerts, the bench
	@TIDEGAUGE_THOROUGH=1 $(PYTHON_IN_VENV) -m pytest --numprocesses 2 --dist loadfile \
		tests/laws tests/audit tests/decode tests/facts tests/cluster tests/simulation tests/job/test_recorded_data.py \
		tests/demo/test_against_the_pipeline.py tests/deploy/alerts tests/bench

.PHONY: faults
faults: $(VENV)/installed  ## real runs, and everything around them broken; SEEDS=50 histories, or SEED=7 that one again
	@$(PYTHON_IN_VENV) -m tests.faults.campaign $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10)) $(FAULTS)

.PHONY: brokers
brokers: $(VENV)/installed  ## three Kafka brokers, injured in every way, one after another; BROKERS="-k leader" for some
	@$(PYTHON_IN_VENV) -m pytest $(addprefix tests/brokers/,$(BROKEN)) $(BROKERS)

.PHONY: mutations
mutations: $(VENV)/installed  ## the code made wrong in five ways, each of which the tests have to notice
	@$(PYTHON_IN_VENV) -m pytest -q -s tests/simulation -k code_that_is_wrong
	@$(PYTHON_IN_VENV) -m tests.faults.mutations

.PHONY: check
check: $(VENV)/installed  ## lint, format and types
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --scripts-are-modules deploy/kafka/kafka

.PHONY: docs
docs: $(VENV)/installed  ## write anew what is generated: flows/METRICS.md and CONFIG.md, schemas, tables of facts, rules, dashboards
	@$(VENV)/bin/tidegauge schema metrics > flows/METRICS.md
	@$(PYTHON_IN_VENV) -m flows.commands.facts_page
	@$(VENV)/bin/tidegauge schema config > schemas/config.v1.schema.json
	@$(VENV)/bin/tidegauge schema config --format markdown > flows/CONFIG.md
	@$(VENV)/bin/tidegauge rules --config deploy/examples/shop.yaml --out deploy/prometheus/rules
	@$(VENV)/bin/tidegauge rules --config deploy/examples/saas.yaml --out deploy/prometheus/examples
	@$(PYTHON_IN_VENV) deploy/kubernetes/rules.py > deploy/kubernetes/prometheusrule.yaml
	@$(VENV)/bin/tidegauge dashboards --config deploy/examples/shop.yaml --out deploy/grafana/dashboards >/dev/null

.PHONY: pictures
pictures: $(VENV)/installed  ## the README's pictures of the live page, taken of the demo in a real browser; needs chromium
	@$(PYTHON_IN_VENV) -m deploy.pictures.pictures $(PICTURES)

.PHONY: panels
panels: $(VENV)/installed  ## what every dashboard panel returns, asked of a real Prometheus; PANELS="--help" for options
	@$(PYTHON_IN_VENV) deploy/grafana/panels.py $(PANELS)

.PHONY: look
look: $(VENV)/installed  ## a picture of every dashboard row, drawn by Grafana's own components; LOOK="--help" for options
	@$(PYTHON_IN_VENV) -m deploy.grafana.look.look $(LOOK)

.PHONY: image
image: $(VENV)/installed  ## the Dockerfile's steps and the compose file's services, without a container engine; needs root
	@$(PYTHON_IN_VENV) -m pytest tests/deploy/built_image.py

.PHONY: bench
bench: $(VENV)/installed  ## events per second and core, from a real Kafka; BENCH="--events 1000000" for its options
	@$(PYTHON_IN_VENV) deploy/bench/bench.py $(BENCH)

PEERS_PAGE := --page deploy/bench/PEERS.md --json deploy/bench/peers/results.json
.PHONY: bench-peers
bench-peers: $(VENV)/installed  ## Tidegauge beside other engines, renews deploy/bench/PEERS.md; BENCH="--quick" leaves it
	@$(PYTHON_IN_VENV) deploy/bench/peers/compare.py $(or $(BENCH),$(PEERS_PAGE))

.PHONY: bounded
bounded: $(VENV)/installed  ## the memory of 1 million tickets and 10 million orders, against what the limits allow
	@$(PYTHON_IN_VENV) -m deploy.bench.bounded

.PHONY: bench-page
bench-page: $(VENV)/installed  ## write the tables of deploy/bench/PERFORMANCE.md anew from deploy/bench/results.json
	@$(PYTHON_IN_VENV) -m deploy.bench.page

.PHONY: bench-scale
bench-scale: $(VENV)/installed  ## several processes beside one: speed-up, the cost of the exchange, and how old numbers get
	@$(PYTHON_IN_VENV) -m pytest -q tests/job/lopsided.py
	@$(PYTHON_IN_VENV) -m deploy.bench.scale $(BENCH)

.PHONY: alerts
alerts: $(VENV)/installed  ## five products at once, each in trouble of its own, and what a webhook is told; ALERTS_SPEED=8: slower
	@$(PYTHON_IN_VENV) -m pytest tests/deploy/alerts/all_products.py

.PHONY: pager
pager: $(VENV)/installed  ## a simulated shop's trouble, from its events to what Alertmanager sends; PAGER="--help"
	@$(PYTHON_IN_VENV) -m deploy.alertmanager.pager $(PAGER)

.PHONY: kafka
kafka:  ## a real Kafka in the foreground, on KAFKA_PORT (9092); Ctrl-C stops it
	@exec deploy/kafka/kafka run --port $(or $(KAFKA_PORT),9092)

.PHONY: audit
audit: $(AUDIT)/installed  ## known vulnerabilities of all pinned packages; 3 when they cannot be looked up
	@$(AUDIT)/bin/python deploy/audit/audit.py requirements.lock deploy/audit/requirements.lock

.PHONY: sbom
sbom: $(VENV)/installed $(AUDIT)/installed  ## build/sbom.cdx.json: what an installed Tidegauge consists of (CycloneDX)
	@mkdir -p build
	@set -o pipefail; $(PYTHON_IN_VENV) deploy/audit/shipped.py requirements.lock | \
		PYTHONWARNINGS=ignore $(AUDIT)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--short-PURLs --spec-version 1.6 --output-format JSON --validate --output-file build/sbom.cdx.json -
	@echo build/sbom.cdx.json

.PHONY: lock
lock: $(VENV)/installed  ## pin what pyproject.toml asks for; LOCK=--upgrade moves to the newest versions
	@$(COMPILE) --extra dashboards --extra demo --extra dev $(LOCK) pyproject.toml --output-file requirements.lock
	@$(COMPILE) --extra image --constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock
	@$(COMPILE) $(LOCK) deploy/audit/requirements.in --output-file deploy/audit/requirements.lock

# The tools of audit and sbom are nobody's dependency, so they live apart.
$(AUDIT)/installed: deploy/audit/requirements.lock
	@set -euo pipefail; python=$$(deploy/find-python); $$python -m venv --clear $(AUDIT); \
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; \
	touch $@

.PHONY: lock-peers
lock-peers: $(VENV)/installed  ## pin anew what the peers of `make bench-peers` ask for
	@for wish in deploy/bench/peers/requirements/*.in; do \
		$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
			--custom-compile-command 'make lock-peers' $(LOCK) $$wish --output-file $${wish%.in}.txt; \
	done

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
