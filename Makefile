# `make train` and `make test` need Python 3.11+ with venv, and nothing else: they make .venv and install into it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
# Two calls at once install one after the other, where flock exists (every Linux has it).
LOCK := $(if $(shell command -v flock),flock .venv.lock)

# Right implementations that `make nightly` runs the checks on; `make nightly TARGETS="torch keras"` runs them on others.
TARGETS := keras scipy minicnn:reference minicnn:numba
BUGS := docs/results/planted_bugs

.PHONY: train test coverage lint docs nightly mutation clean

train: $(VENV)/.installed
	$(RUN)/minicnn train

# Tests over as many processes as there are cores. `make test WORKERS=0` runs them one by one.
WORKERS ?= auto

test: $(VENV)/.installed-test
	$(RUN)/pytest -n $(WORKERS) --dist worksteal

# Lines and branches, at least 95 % (pyproject.toml). Kernels run as plain Python, or their lines wouldn't be seen;
# tests/keras would take TensorFlow's time and cover nothing that the others don't.
coverage: $(VENV)/.installed-test
	NUMBA_DISABLE_JIT=1 $(RUN)/pytest -n $(WORKERS) --dist worksteal --hypothesis-profile=interpreted --cov \
	    --ignore=tests/keras

lint: $(VENV)/.installed-test
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

# The site, into build/site; the notebooks are run. A warning is an error.
docs: $(VENV)/.installed-docs
	$(RUN)/sphinx-build -W --keep-going -q -b html docs build/site

# Hours. 10,000 examples a property, 20 seeds a planted bug, whole trainings, mutants of the reference; what was
# measured goes to docs/results, to be committed with its pages.
nightly: $(VENV)/.installed-nightly
	MINICNN_NIGHTLY=1 $(RUN)/pytest --hypothesis-profile=nightly
	$(MAKE) coverage
	$(RUN)/python -m tests.keras.training_results
	$(RUN)/python -m tests.testing.catches --seeds 20 --json $(BUGS).json
	$(RUN)/python -m tests.testing.catches --json $(BUGS).json --markdown docs/planted_bugs.md
	for target in $(TARGETS); do $(RUN)/python -m tests.testing.false_alarms run $$target || exit 1; done
	$(RUN)/python -m tests.testing.false_alarms page
	$(RUN)/python -m tests.saving.trials run
	$(RUN)/python -m tests.saving.trials page
	$(MAKE) mutation

mutation: $(VENV)/.installed-mutation
	$(RUN)/python -m tests.mutation

clean:
	rm -rf $(VENV) .venv.lock build dist .coverage* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find minicnn tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml
	@$(LOCK) sh -c '$(call install,.,$@)'

$(VENV)/.installed-test: pyproject.toml
	@$(LOCK) sh -c '$(call install,.[test],$@)'

$(VENV)/.installed-docs: pyproject.toml
	@$(LOCK) sh -c '$(call install,.[docs],$@)'

$(VENV)/.installed-nightly: pyproject.toml
	@$(LOCK) sh -c '$(call install,.[nightly],$@)'

$(VENV)/.installed-mutation: pyproject.toml
	@$(LOCK) sh -c '$(call install,.[mutation],$@)'

# $(call install,WHAT,STAMP): whoever waited for the lock finds the stamp fresh and has nothing left to do.
define install
set -e; \
if [ $(2) -nt pyproject.toml ]; then exit 0; fi; \
$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
    { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 …" >&2; exit 1; }; \
[ -x $(RUN)/pip ] || $(PYTHON) -m venv $(VENV) || \
    { rm -rf $(VENV); echo "Python needs its venv module (Debian: apt install python3-venv)." >&2; exit 1; }; \
echo "Installing minicnn into $(VENV) …"; \
$(RUN)/pip install --quiet --disable-pip-version-check -e "$(1)"; \
touch $(2)
endef
