# `make demo` and `make test` are all the set-up there is; `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Idle OpenMP threads sleep rather than spin: tests and demo share few cores with decoders and encoders.
export OMP_WAIT_POLICY ?= passive

.PHONY: help demo test check fix wheel clean

help:
	@echo "make demo   install, upscale the bundled clip, make a before/after picture"
	@echo "make test   install, run the tests"
	@echo "make check  lint, formatting, types"
	@echo "make fix    repair lint and formatting"
	@echo "make wheel  build the wheel and try it in an empty environment"
	@echo "make clean  remove what the above made"

$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)
	mkdir -p demo
	$(BIN)/edvr upscale examples/bbb.mp4 demo/bbb_upscaled.mp4 --overwrite
	$(BIN)/python examples/before_after.py examples/bbb.mp4 demo/bbb_upscaled.mp4 demo/before_after.png
	@echo
	@echo "The clip:        examples/bbb.mp4"
	@echo "Restored:        demo/bbb_upscaled.mp4"
	@echo "Before | after:  demo/before_after.png"

test: $(INSTALLED)
	$(BIN)/python -m pytest --durations=10

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(INSTALLED)
	sh tests/wheel.sh

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
