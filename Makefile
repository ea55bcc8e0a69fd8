# make quickstart   from a clone to a pretrained backbone and pictures
# make test         lint, types, spelling and tests
# make nightly      the tests that take long: every recipe, every case of a sampled test
# make docs         the documentation site, build/site/index.html (needs Python 3.11)
# All create the virtual environment .venv if it is missing, with Python 3.10 or newer (PYTHON=... selects one).

VENV = .venv
BIN = $(VENV)/bin

.PHONY: quickstart test docs nightly lint env ops

quickstart: env
	$(BIN)/python tools/quickstart.py

# The tests need mmcv's ops for CPUs only, also where nvcc could build those for GPUs.
test nightly: export FORCE_CUDA ?= 0
# One thread per process, since several run at once; each takes 1 to 4 GB.
test nightly: export OMP_NUM_THREADS ?= 1
test: env ops lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 1

docs: env
	@tools/development/make_docs_env.sh $(VENV)-docs $(VENV)
	$(VENV)-docs/bin/python tools/development/make_site.py

nightly: env ops
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 1 -m nightly

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck tools/*.sh tools/*/*.sh .ci/run
	$(BIN)/codespell
	$(BIN)/python tools/development/check_prose.py

env:
	@tools/make_env.sh $(VENV) onedl

# mmcv's compiled ops: detection and segmentation need them, pretraining does not.
ops: env
	@tools/build_ops.sh $(VENV)
