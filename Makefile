# `make app` opens the app, `make test` checks everything. Each sets up .venv the first time; pip's own settings and variables apply.

PYTHON ?= python3
PORT ?= 8501
ENV := .venv
RUN := $(ENV)/bin/python -m

.PHONY: app test lint benchmarks screenshots

app: $(ENV)/app.installed
	$(RUN) streamlit run app.py --server.port $(PORT) --server.showEmailPrompt false

test: lint
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(ENV)/test.installed
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

benchmarks: $(ENV)/test.installed
	$(RUN) tests.benchmarks

screenshots: $(ENV)/test.installed
	$(RUN) tests.browser.screenshots

$(ENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; this is " + \
		sys.version.split()[0] + ". Name another with: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(ENV)

$(ENV)/app.installed: requirements.txt | $(ENV)/bin/python
	$(RUN) pip install --quiet --no-compile -r $<
	@touch $@

$(ENV)/test.installed: requirements-dev.txt requirements.txt | $(ENV)/bin/python
	$(RUN) pip install --quiet --no-compile -r $<
	@touch $@ $(ENV)/app.installed
