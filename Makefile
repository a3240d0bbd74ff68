# The only door: every command a person or a machine needs, and `make help` lists them.
BIN := .venv/bin
READY := .venv/.ready
PROGRAMS := core packaging site_proxy runtime edgetui fixtures
CODE := $(PROGRAMS) tests bench
REAL_PACKAGES := docker-registry prometheus-alertmanager mosquitto mosquitto-clients openssh-server tmux e2fsprogs faketime strace rtsp-server-perl
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo demo-check test endurance exhaustive check bench docs setup pins wheelhouse mutants real-parts

help: ## what there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(READY) ## a simulated plant and the console on this machine   (REPLAY=DIR feeds recorded data)
	$(BIN)/edge-demo run $(if $(REPLAY),--replay $(REPLAY))

demo-check: $(READY) ## the same plant without a screen: plays the story, ends in one JSON line
	@$(BIN)/edge-demo check $(if $(REPLAY),--replay $(REPLAY))

# A file stays with one process: servers that its tests share are started once. One process more
# than the two cores we promise, since many tests wait for a daemon, a disk or a deadline.
test: $(READY) real-parts ## every test, the real components included
	$(PYTEST) --numprocesses 3 --dist loadfile --no-loadscope-reorder

endurance: $(READY) real-parts ## faults by the hundred, power cuts at every step: what takes minutes
	$(PYTEST) tests/endurance

exhaustive: $(READY) ## of the endurance tests what asks no clock: every order of an update, ONNX's own
	$(PYTEST) tests/endurance/test_update_model_check.py tests/endurance/test_onnx_node_tests.py

check: $(READY) ## formatting, lint, types, architecture
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(READY) ## every benchmark   (one alone: .venv/bin/python -m bench.journal --quick)
	@for name in ingest inference swap serving journal audit console gate fleet; do $(BIN)/python -m bench.$$name $(ARGS) || exit 1; done

docs: $(READY) ## write docs/reference anew from the code; a test fails while it is stale
	$(BIN)/python -m tests.architecture.reference

setup: $(READY) ## build .venv from the pins
$(READY): pyproject.toml constraints.txt
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -q $(PROGRAMS)
	@touch $@

pins: ## pin every dependency anew, no host named
	$(BIN)/uv pip compile --quiet --upgrade --universal --all-extras --no-annotate --no-header \
	  --no-emit-index-url --output-file constraints.txt pyproject.toml

wheelhouse: $(READY) ## wheels of one component for a machine without a network   (OF=gateway)
	$(BIN)/pip wheel --quiet --constraint constraints.txt --wheel-dir wheelhouse/$(OF) '.[$(OF)]'

mutants: $(READY) ## change what decides, one line at a time: a test must fail each time
	$(BIN)/python -m tests.mutants

# Where root and apt are there, what is missing is installed; elsewhere the tests say what they skip.
real-parts:
	@missing=; for name in $(REAL_PACKAGES); do \
	  dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq -y --no-install-recommends install $$missing; } >/dev/null 2>&1 \
	    || echo "could not install$$missing"; fi
