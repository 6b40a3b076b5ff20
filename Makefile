# make demo   set everything up and watch a real model answer after two providers have failed
# make test   set everything up and run every test
# make lab    the tutorials in JupyterLab
# make check  lint, types, layers, format
# make bench  what a run costs for each chunk, and what loading costs
# make tutorials  run the tutorials and save them with their outputs
# make matrix  run the notebook tests on every Python that is here, with old and new versions, and write the README's table

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-color
CONSTRAINTS := .ci/constraints.txt
WORKERS ?= 2
NOTEBOOK := notebooks/01-quickstart.ipynb
OUTPUT := build/01-quickstart.ipynb
TUTORIALS := $(wildcard notebooks/*.ipynb)

.PHONY: demo test lab tutorials matrix check format bench clean

demo: $(VENV)/.lab
	@$(BIN)/nbretry pull
	@$(BIN)/nbretry demo $(NOTEBOOK) --output $(OUTPUT)
	@cp -R notebooks/images build/

lab: $(VENV)/.tutorials
	@$(BIN)/nbretry pull
	$(BIN)/jupyter lab $(NOTEBOOK)

tutorials: $(VENV)/.tutorials
	@$(BIN)/nbretry pull
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.store_widget_state=False $(TUTORIALS)
	$(BIN)/jupyter nbconvert --to notebook --inplace --CoalesceStreamsPreprocessor.enabled=True $(TUTORIALS)

test: $(VENV)/.test
	@$(BIN)/nbretry pull
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python tests/benchmarks/overhead.py

matrix: $(VENV)/.test
	@$(BIN)/nbretry pull
	$(BIN)/python tests/notebook/matrix.py $(ARGS)

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nbretry needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing what nbretry needs (a minute the first time) ..."
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.lab: $(VENV)/.pip pyproject.toml $(CONSTRAINTS)
	@$(PIP) install -c $(CONSTRAINTS) -e ".[local]" --group lab
	@touch $@

$(VENV)/.tutorials: $(VENV)/.lab pyproject.toml $(CONSTRAINTS)
	@$(PIP) install -c $(CONSTRAINTS) --group tutorials
	@touch $@

$(VENV)/.test: $(VENV)/.tutorials pyproject.toml $(CONSTRAINTS)
	@$(PIP) install -c $(CONSTRAINTS) -e ".[all]" --group test
	@touch $@

$(VENV)/.check: $(VENV)/.test pyproject.toml $(CONSTRAINTS)
	@$(PIP) install -c $(CONSTRAINTS) --group check
	@touch $@

clean:
	rm -rf $(VENV) build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis test-output
