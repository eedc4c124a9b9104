# Every verb sets up what it needs: a machine with Python >= 3.11 and make is enough.
PYTHON ?= python3
UV := .tools/uv/bin/uv
RUN := .venv/bin
UV_PIN := uv>=0.9,<1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-live check bench orders hosts gateway soak format clean

help:  ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sealane needs Python 3.11 or newer; name it with: make PYTHON=python3.12 ...")'
	@echo "installing uv into .tools/uv"
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/python -m pip install --quiet "$(UV_PIN)" \
	 || (rm -rf .tools/uv && $(PYTHON) -m pip install --quiet --target .tools/uv "$(UV_PIN)")
	@touch $(UV)

.venv/.stamp: $(UV) pyproject.toml uv.lock
	@$(UV) sync --quiet --frozen --all-extras --python $(PYTHON)
	@touch $@

setup: .venv/.stamp  ## make .venv with everything the other verbs need

demo: setup  ## watch ordinary clients collide on one key, and Sealane not (no keys, no network, under 40 s)
	@$(RUN)/sealane demo

# Two at a time where a test waits more than it works; one at a time where hosts, engines and kills are timed.
test: setup  ## run the tests
	@$(RUN)/pytest -q -n 2 tests/unit tests/contract tests/integration tests/property
	@$(RUN)/pytest -q tests/engines tests/acceptance tests/browser

test-live: setup  ## compare Kraken itself with the simulator: your key, reads and validated orders only (docs/live.md)
	@PYTHONPATH=tests $(RUN)/python -m live

check: setup  ## lint, types, import rules
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

bench: setup  ## measure against bare loops and other clients; table on the terminal, JSON in bench/results/
	@$(RUN)/python -m bench

orders: setup  ## 10,000 orders under every fault and kill -9, through Sealane, ccxt and krakenex; the exchange's book judges
	@$(RUN)/python -m bench.orders

hosts: setup  ## hosts and engines killed, stopped and deployed hundreds of times with orders under way, and what hand-overs cost
	@SEALANE_SOAK=1 $(RUN)/pytest -q -s tests/acceptance/test_kill_hosts.py
	@$(RUN)/python -m bench hosts

gateway: setup  ## 200,000 fuzzed requests, bots and the gateway killed for 3 minutes, and calls a second beside a bare proxy
	@SEALANE_SOAK=1 $(RUN)/pytest -q -s tests/property/test_gateway_fuzz.py tests/acceptance/test_gateway_restarts.py
	@$(RUN)/python -m bench gateway

soak: setup  ## the long form of the kill and simulation tests
	@SEALANE_SOAK=1 $(RUN)/pytest -q -s tests/property tests/acceptance

format: setup  ## let ruff rewrite what it can
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

clean:  ## remove what the other verbs made
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/results
