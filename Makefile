# Everything from a fresh clone, with Python 3.11 to 3.13 and make: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# Without compiled modules every process that imports TensorFlow takes 15 seconds more.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: demo test test-all faults docs benchmarks

demo: $(VENV)/.installed
	$(BIN)/latentseq demo --overwrite

# Promises and resume once more, on the other backend. What JAX has compiled once, it keeps; compiling is most of the time.
ON_JAX := KERAS_BACKEND=jax XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" JAX_COMPILATION_CACHE_DIR=$(VENV)/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
JAX_TESTS := -m "jax and not slow" -k "not c09" tests/plugins tests/library/test_broken_numbers.py tests/library/test_resume.py

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow"
	$(ON_JAX) $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(JAX_TESTS)

test-all: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	EXAMPLES=200 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(ON_JAX) $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(JAX_TESTS)

# Goes on where it was stopped; the results are in runs/faults.jsonl.
faults: $(VENV)/.installed-test
	$(BIN)/python tests/faults/run.py --workers $(WORKERS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmarks: $(VENV)/.installed-test
	for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

# A stamp for each set of extras: nothing is installed again before pyproject.toml or constraints.txt changes. Of thousands of
# modules some are imported, and compiled then.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install -q --no-compile -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install -q --no-compile -c constraints.txt -e ".[$*]"
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"error: $(PYTHON) is Python {v}; expected 3.11, 3.12 or 3.13. Choose one, as in: make PYTHON=python3.12 test")'
	$(PYTHON) -m venv $(VENV)
