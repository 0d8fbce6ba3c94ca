# `make demo` and `make test` are all the set-up there is; `make` alone lists the targets.

# Another Python: make test PYTHON=python3.13. The environment is made again where its version differs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("{}.{}".format(*sys.version_info))')
PROGRAM := $(VENV)/.program-$(VERSION)
TOOLS := $(VENV)/.tools-$(VERSION)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# PyTorch from PyPI brings 2.7 GB of CUDA libraries on Linux. Where no NVIDIA driver is, its build for processors
# (0.2 GB) does the same. TORCH_INDEX= (empty) takes PyPI's.
ifeq ($(shell uname -s)$(shell command -v nvidia-smi),Linux)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif

# Idle OpenMP threads sleep rather than spin: tests and demo share few cores with decoders and encoders.
export OMP_WAIT_POLICY ?= passive

.PHONY: help demo test check fix wheel clean

help:
	@echo "make demo   install, upscale the bundled clip, make a before/after picture"
	@echo "make test   install with the tools, run the tests, or TESTS=tests/video"
	@echo "make check  lint, formatting, types"
	@echo "make fix    repair lint and formatting"
	@echo "make wheel  build the wheel and try it in an empty environment"
	@echo "make clean  remove what the above made"
	@echo "PYTHON=python3.13 chooses another Python, TORCH_INDEX=URL where PyTorch comes from"

# The program alone.
$(PROGRAM): pyproject.toml constraints.txt
	@test -n "$(VERSION)" || { echo "$(PYTHON) does not run: name another by PYTHON=..."; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
ifneq ($(TORCH_INDEX),)
	$(PIP) --no-deps --retries 1 --index-url $(TORCH_INDEX) torch || \
		echo "No PyTorch from $(TORCH_INDEX): it comes from PyPI, with CUDA."
endif
	$(PIP) --editable .
	touch $@

# And what tests and checks need.
$(TOOLS): $(PROGRAM)
	$(PIP) --editable ".[dev,browser,triton]"
	touch $@

demo: $(PROGRAM)
	mkdir -p demo
	$(BIN)/edvr upscale examples/bbb.mp4 demo/bbb_upscaled.mp4 --overwrite
	$(BIN)/python examples/before_after.py examples/bbb.mp4 demo/bbb_upscaled.mp4 demo/before_after.png
	@echo
	@echo "The clip:        examples/bbb.mp4"
	@echo "Restored:        demo/bbb_upscaled.mp4"
	@echo "Before | after:  demo/before_after.png"

test: $(TOOLS)
	$(BIN)/python -m pytest --durations=10 $(TESTS)

check: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(TOOLS)
	PYTHON=$(PYTHON) BUILD_PYTHON=$(abspath $(BIN)/python) TORCH_INDEX=$(TORCH_INDEX) sh tests/wheel.sh

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
