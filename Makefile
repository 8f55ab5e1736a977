# Two commands for a visitor: `make run` and `make test`. `make check` is what every change has to pass. `make bench`
# measures ours beside the original; BENCH='--rounds 1 --case start' chooses, BENCH=--help tells what else. `make soak`
# has all mechanisms under all troubles at once for SECONDS. `make deb` and `make rpm` build packages into dist/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test

WHEELS := build/wheels

SECONDS ?= 300

.PHONY: run check test bench soak deb rpm clean

run: $(INSTALLED)
	@$(BIN)/python packaging/demo.py

check: $(INSTALLED_TEST)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/test_import_rule.py

test: $(INSTALLED_TEST)
	@packaging/test-packages.sh
	@tests/run.sh $(BIN)/pytest

bench: $(INSTALLED_TEST)
	@packaging/test-packages.sh
	@PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)

soak: $(INSTALLED_TEST)
	@packaging/test-packages.sh
	PYSASLAUTHD_SOAK_SECONDS=$(SECONDS) $(BIN)/pytest -q -s tests/integration/test_soak.py

deb: $(WHEELS)
	packaging/build-deb.sh $(WHEELS) dist

rpm: $(WHEELS)
	packaging/build-rpm.sh $(WHEELS) dist $(PYTHON)

$(WHEELS): packaging/requirements.txt
	packaging/wheels.sh $(PYTHON) $(WHEELS)

$(INSTALLED): packaging/requirements.txt packaging/build-requirements.txt pyproject.toml packaging/venv.sh
	packaging/venv.sh $(PYTHON) $(VENV) packaging/build-requirements.txt packaging/requirements.txt
	@touch $@

$(INSTALLED_TEST): $(INSTALLED) tests/requirements.txt
	packaging/venv.sh $(PYTHON) $(VENV) packaging/build-requirements.txt tests/requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist *.egg-info run .mypy_cache .pytest_cache .ruff_cache .hypothesis
