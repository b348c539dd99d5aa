# Everything a contributor runs. `make run` and `make test` are the two promises of the README.
PY := .venv/bin/python
SHELL := /bin/sh
NAME ?= dev
GENERATION ?= forky

.PHONY: run dev test test-all unit lint lab-prepare lab-up lab-down lab-status lab-vm bench bench-tui screenshots demo clean

run:
	@sh tools/venv.sh run
	@sh tools/run.sh

dev:
	@sh tools/venv.sh dev

unit: dev
	@$(PY) -m tests.suite unit

lint: dev
	@$(PY) -m tests.suite lint

test: dev
	@$(PY) -m tests.suite test

test-all: dev
	@$(PY) -m tests.suite all

lab-prepare: dev
	@$(PY) -m tests.lab.prepare --suites forky,trixie --youki

lab-up: lab-prepare
	@$(PY) -m tests.lab up $(NAME) --generation $(GENERATION)

lab-down: dev
	@$(PY) -m tests.lab down $(NAME)

lab-status: dev
	@$(PY) -m tests.lab status

lab-vm: dev
	@$(PY) -m tests.lab.vm build

bench: lab-prepare
	@$(PY) -m bench.listing

bench-tui: lab-prepare
	@$(PY) -m bench.tui

screenshots: dev
	@$(PY) screenshots/take.py

demo: lab-prepare
	@$(PY) -m tests.lab.record rtscope/demo/node.json.gz

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
