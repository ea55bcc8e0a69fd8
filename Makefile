# make quickstart   from a clone to a pretrained backbone and pictures
# make test         lint, types, spelling and tests
# make nightly      a dry run of every recipe, about 20 minutes
# All create the virtual environment .venv if it is missing, with Python 3.10 or newer (PYTHON=... selects one).

VENV = .venv
BIN = $(VENV)/bin

.PHONY: quickstart test nightly lint env ops

quickstart: env
	$(BIN)/python tools/quickstart.py

# The tests need mmcv's ops for CPUs only, also where nvcc could build those for GPUs.
test: export FORCE_CUDA ?= 0
test: env ops lint
	$(BIN)/python -m pytest

nightly: env ops
	$(BIN)/python -m pytest -m nightly

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck tools/*.sh tools/benchmarks/*.sh .ci/run
	$(BIN)/codespell
	$(BIN)/python tools/development/check_prose.py

env:
	@tools/make_env.sh $(VENV) onedl

# mmcv's compiled ops: detection and segmentation need them, pretraining does not.
ops: env
	@tools/build_ops.sh $(VENV)
