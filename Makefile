# make lab     set everything up and open JupyterLab on the first notebook
# make test    set everything up and run the checks and tests
# make demo    run the first notebook without a browser; out/01_first_steps.html
# make bench   the benchmarks, side by side with Orthanc where it is installed
# make soak    the server's memory while studies of 4 GB are stored and retrieved;
#              50 associations of 200 instances at once, some of which end badly
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: lab test demo bench soak lint notebooks docs clean
.DEFAULT_GOAL := test

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "pacslab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What using it needs; the demo data is fetched into the user's cache, like a dependency.
# The viewer is built by pip, and anew when its sources have changed.
VIEWER := hatch_build.py $(filter-out %/dist %/node_modules,$(wildcard pacslab/viewer/* pacslab/viewer/src/*))
$(VENV)/.lab: $(VENV)/.python pyproject.toml $(VIEWER)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	$(BIN)/python -m pacslab.demo.real
	@touch $@

# What testing it needs on top.
$(VENV)/.test: $(VENV)/.lab pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

lab: $(VENV)/.lab
	$(BIN)/pacslab lab data/demo

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

demo: $(VENV)/.lab
	mkdir -p out
	PACSLAB_DICOM_PORT=0 PACSLAB_HTTP_PORT=0 $(BIN)/jupyter nbconvert --to html --execute --output-dir out --output 01_first_steps.html notebooks/01_first_steps.ipynb
	@echo "see out/01_first_steps.html"

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks

soak: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks --memory
	PACSLAB_SOAK=50x200 $(BIN)/python -m pytest tests/network/test_soak.py

docs: $(VENV)/.lab
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) out
