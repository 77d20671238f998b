# Every target installs what it needs first; a finished install is recognised in a few milliseconds.
SHELL := /bin/sh
ARGS ?=
AIW := .venv/bin/aiw
PY := .venv/bin/python
BENCHES := demo events workflows ai graph ws http mcp search content plugins graphql

.PHONY: help install dev demo up gateway conformance autobahn test lint type imports format unit test-neo4j bench screenshots lock clean bench-analysis $(addprefix bench-,$(BENCHES))

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install:  ## Install what the platform needs into .venv
	@deploy/install.sh run

dev:  ## Install that and the developers' tools
	@deploy/install.sh dev

demo: install  ## The main job on real documents, from nothing (ARGS="--keep --json FILE")
	@$(AIW) demo $(ARGS)

up: install  ## Keep the platform running in the foreground; Ctrl-C stops it
	@$(AIW) up $(ARGS)

gateway: dev  ## The graph federated: subgraphs, a supergraph and a gateway beside the platform; Ctrl-C ends it all
	@$(AIW) gateway $(ARGS)

test: dev lint type imports unit  ## Lint, types, import contracts and all tests on real servers

lint: dev  ## ruff: rules and format
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

format: dev  ## Let ruff mend what it can
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

type: dev  ## mypy --strict
	@.venv/bin/mypy

imports: dev  ## import-linter: who may import whom
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

unit: dev  ## The test suite (ARGS="-k words", ARGS="-n 0")
	@tests/unit.sh $(ARGS)

test-neo4j: dev  ## The graph store's contract on a real Neo4j, through Maven (skipped where there is none)
	@tests/neo4j.sh $(ARGS)

bench: dev  ## All benchmarks, one after another; one that fails does not keep the others from running
	@$(MAKE) --no-print-directory --keep-going --jobs=1 $(addprefix bench-,$(BENCHES))

bench-demo: dev  ## The main job, timed (ARGS="--quick --json FILE")
	@$(PY) -m tests.benchmarks.demo $(ARGS)

bench-events: dev  ## The event store beside its peers
	@$(PY) -m tests.benchmarks.events $(ARGS)

bench-workflows: dev  ## From the trigger to the end of a run, beside stock Dagster, Prefect, DBOS and LangGraph
	@$(PY) -m tests.benchmarks.workflows $(ARGS)

bench-ai: dev  ## What the books, budgets and the memo add to a call of a model
	@$(PY) -m tests.benchmarks.ai $(ARGS)

bench-graph: dev  ## The graph: loading it, and each algorithm beside networkx
	@$(PY) -m tests.benchmarks.graph $(ARGS)

bench-search: dev  ## Search at 10,000 and 100,000 passages, beside plain pgvector and plain full text
	@$(PY) -m tests.benchmarks.search $(ARGS)

bench-http: dev  ## The API under load, beside a plain one (needs wrk)
	@$(PY) -m tests.benchmarks.http $(ARGS)

bench-ws: dev  ## Ten thousand sockets, and a server killed under them
	@$(PY) -m tests.benchmarks.ws $(ARGS)

bench-mcp: dev  ## A tool called over every transport, beside the bare SDK and fastmcp
	@$(PY) -m tests.benchmarks.mcp $(ARGS)

bench-graphql: dev  ## The graph: simple and nested queries, and a hundred entities by key
	@$(PY) -m tests.benchmarks.graphql $(ARGS)

conformance: dev  ## MCP's official conformance suite against our server code (npm; else skipped)
	@$(PY) -m tests.conformance.run $(ARGS)

autobahn: dev  ## Autobahn's testsuite for WebSockets against our server (ARGS="--python2 python2.7": the original, too)
	@$(PY) -m tests.conformance.autobahn $(ARGS)

bench-analysis: dev  ## How good the analysis is: rules, a baseline, a model (AIW_BENCH_CONTENT=provider/model)
	@$(PY) -m tests.benchmarks.content_quality $(ARGS)

bench-plugins: dev  ## A call of a plugin, in an instance of its own and in one that is used again
	@$(PY) -m tests.benchmarks.plugins $(ARGS)

bench-content: dev  ## Documents read and analysed a second, format by format, and how good the analysis is
	@$(PY) -m tests.benchmarks.content $(ARGS)

fuzz: dev  ## Parsers and analysers against made-up documents, for a bounded time (ARGS="--seconds 120 --seed 7")
	@$(PY) -m tests.fuzz $(ARGS)

screenshots: dev  ## Take the pictures of docs/ in headless Chromium
	@$(PY) -m docs.screenshots $(ARGS)

lock:  ## Rewrite the lock files from pyproject.toml
	@deploy/lock.sh

clean:  ## Remove the environments; the data in .aiw stays
	rm -rf .venv .venv-uv .venv-bench .mypy_cache .ruff_cache .pytest_cache
