# `make train CONFIG=configs/quickstart.yaml` and `make test` set up whatever they need.

PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python; do \
	command -v $$each >/dev/null 2>&1 && $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$each && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
TORCH_VENV := .venv-torch
FUZZ_VENV := .venv-fuzz
GYM_VENV := .venv-gym
# Tianshou 1.2 needs NumPy 1, which no Python after 3.12 has wheels of.
TORCH_PYTHON ?= $(shell for each in $(PYTHON) python3.12 python3.11; do \
	command -v $$each >/dev/null 2>&1 \
	&& $$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	&& echo $$each && break; done)
# An NVIDIA GPU that answers gets JAX with CUDA; everything else gets plain CPU JAX.
EXTRAS := $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo dev,cuda12 || echo dev)
# Two workers: JAX compiles and computes with threads of its own. Files in the order of
# tests/conftest.py, the longest first.
PYTEST := $(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup train evaluate report sweep power sensitivity curves tensorboard play test \
	test-hard test-long test-torch test-gym test-wheel test-browser test-r fuzz bench bench-gpu \
	bench-old-stack bench-check results lint format hooks docs notebooks pictures clean

help:
	@echo "make train CONFIG=configs/quickstart.yaml [ARGS=\"--seed 7\"]   train a therapist"
	@echo "make evaluate POLICY=models/quickstart [ARGS=\"--patterns all\"]   is it any good, and for whom"
	@echo "make report EVALUATION=reports/quickstart   draw its report again"
	@echo "make sweep CONFIG=configs/sweeps/advantage.yaml   thousands of kinds of clients, as one map"
	@echo "make power [ARGS=\"complementary random --threshold 0.7\"]   how many dyads a trial needs"
	@echo "make sensitivity ARGS=\"--threshold '{uniform: [0.65, 0.99]}'\"   which numbers of clients matter"
	@echo "make curves TRAININGS=\"models/a models/b\"   draw their learning curves together"
	@echo "make tensorboard [ARGS=\"--port 6007\"]   show what --loggers tensorboard has written"
	@echo "make play [ARGS=\"--policy models/quickstart/policy_best.pth\"]   be the therapist"
	@echo "make test         run the tests"
	@echo "make test-torch   check weights against real PyTorch and Tianshou (own environment)"
	@echo "make test-gym     others' PPO on our environments: Gymnasium, gymnax (own environment)"
	@echo "make test-wheel   build the package, and use it outside: all Pythons, lowest dependencies"
	@echo "make test-browser   open a report in a headless Chromium (has to be installed)"
	@echo "make test-r       run the scripts of R in docs/ (R has to be installed)"
	@echo "make test-long   several devices and hosts, killed runs, the benchmarks, slow ones"
	@echo "make test-hard    50 killed runs and 100 000 fuzzed inputs"
	@echo "make fuzz ARGS=\"program -max_total_time=300\"   fuzzing led by coverage (own environment)"
	@echo "make bench [ARGS=\"environment training\"]   how fast it is on this CPU; under 10 minutes"
	@echo "make bench-gpu    the same and more on a GPU"
	@echo "make bench-old-stack   side by side with NumPy, PyTorch and Tianshou (own environment)"
	@echo "make bench-check  has anything become slow? compares ratios, in a minute"
	@echo "make results [ARGS=\"--list\"]   measure what docs/results.md lacks; goes on where it was"
	@echo "make lint         style and types"
	@echo "make format       put the style right"
	@echo "make hooks        lint and the subject's length at every commit"
	@echo "make docs         the documents as a site in build/site, every link checked"
	@echo "make notebooks    run docs/notebooks from start to end"
	@echo "make pictures     draw the pictures in docs/ again"
	@echo "make setup        install everything, as the others do by themselves"
	@echo "make clean        remove what setup installed"
	@echo "make help         this"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it, or pass PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { echo "error: $(PYTHON) lacks venv; install it (on Debian and Ubuntu: apt install python3-venv)"; exit 2; }
	@echo "setting up $(VENV) with $(PYTHON) [$(EXTRAS)]; the first time this takes a minute or two"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --upgrade --editable ".[$(EXTRAS)]"
	@touch $@

train: setup
	@test -n "$(CONFIG)" || { echo "error: say which configuration: make train CONFIG=configs/quickstart.yaml (there are: $(wildcard configs/*.yaml))"; exit 2; }
	@$(RUN) -m jaxtherapy.train --config "$(CONFIG)" $(ARGS)

evaluate: setup
	@$(RUN) -m jaxtherapy.evaluate $(POLICY) $(ARGS)

report: setup
	@test -n "$(EVALUATION)" || { echo "error: say which evaluation: make report EVALUATION=reports/quickstart (there are: $(wildcard reports/*))"; exit 2; }
	@$(RUN) -m jaxtherapy.report "$(EVALUATION)" $(ARGS)

sweep: setup
	@test -n "$(CONFIG)" || { echo "error: say which sweep: make sweep CONFIG=configs/sweeps/advantage.yaml (there are: $(wildcard configs/sweeps/*.yaml))"; exit 2; }
	@$(RUN) -m jaxtherapy.sweep --config "$(CONFIG)" $(ARGS)

power: setup
	@$(RUN) -m jaxtherapy.power $(ARGS)

sensitivity: setup
	@$(RUN) -m jaxtherapy.sensitivity $(if $(CONFIG),--config "$(CONFIG)") $(ARGS)

curves: setup
	@test -n "$(TRAININGS)" || { echo "error: say which: make curves TRAININGS=\"models/a models/b\" (there are: $(wildcard models/*))"; exit 2; }
	@$(RUN) -m jaxtherapy.curves $(TRAININGS) $(ARGS)

tensorboard: setup
	$(VENV)/bin/tensorboard --logdir logs $(ARGS)

play: setup
	@$(RUN) -m jaxtherapy.play $(ARGS)

test: setup
	$(PYTEST) $(ARGS)

test-long: setup
	$(PYTEST) -m "hosts or crash or benchmarks or slow" $(ARGS)

test-hard: setup
	JAXTHERAPY_KILLS=30 JAXTHERAPY_FUZZ_INPUTS=20000 $(PYTEST) -m "crash or fuzz" $(ARGS)

$(FUZZ_VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it, or pass PYTHON=/path/to/python3"; exit 2; }
	@test -x $(FUZZ_VENV)/bin/python || $(PYTHON) -m venv $(FUZZ_VENV)
	@$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable . atheris
	@touch $@

fuzz: $(FUZZ_VENV)/.installed
	@JAX_PLATFORMS=cpu $(FUZZ_VENV)/bin/python -m tests.fuzz.coverage_guided $(ARGS)

$(TORCH_VENV)/.installed: tests/torch/requirements.txt pyproject.toml
	@test -n "$(TORCH_PYTHON)" || { echo "error: Tianshou 1.2 needs NumPy 1, and that Python 3.11 or 3.12; install one, or pass TORCH_PYTHON=/path/to/python3.12"; exit 2; }
	@test -x $(TORCH_VENV)/bin/python || $(TORCH_PYTHON) -m venv $(TORCH_VENV)
	@$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/torch/requirements.txt
	@touch $@

test-torch: setup $(TORCH_VENV)/.installed
	JAXTHERAPY_PYTHON=$(abspath $(RUN)) $(TORCH_VENV)/bin/python -m pytest tests/torch $(ARGS)

$(GYM_VENV)/.installed: tests/gym/requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it, or pass PYTHON=/path/to/python3"; exit 2; }
	@test -x $(GYM_VENV)/bin/python || $(PYTHON) -m venv $(GYM_VENV)
	@$(GYM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/gym/requirements.txt
	@touch $@

test-gym: $(GYM_VENV)/.installed
	$(GYM_VENV)/bin/python -m pytest tests/gym $(ARGS)

test-wheel: setup
	$(RUN) tests/packaging/try_wheel.py $(ARGS)

test-browser: setup
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { echo "error: Chromium and its driver are needed; install them (on Debian and Ubuntu: apt-get install chromium chromium-driver)"; exit 2; }
	$(RUN) -m pytest -m browser $(ARGS)

test-r: setup
	@command -v Rscript >/dev/null || { echo "error: R is needed; install it (on Debian and Ubuntu: apt-get install r-base-core)"; exit 2; }
	$(RUN) -m pytest -m r $(ARGS)

bench: setup
	$(RUN) -m benchmarks $(ARGS)

bench-gpu: setup
	$(RUN) -m benchmarks --gpu $(ARGS)

bench-old-stack: setup $(TORCH_VENV)/.installed
	$(RUN) -m benchmarks.against_old_stack --old-python $(TORCH_VENV)/bin/python $(ARGS)

bench-check: setup
	$(RUN) -m benchmarks.regression $(ARGS)

results: setup
	@$(RUN) -m results $(ARGS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

hooks: setup
	$(VENV)/bin/pre-commit install

docs: setup
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict $(ARGS)

notebooks: setup
	$(VENV)/bin/jupyter execute --timeout 180 docs/notebooks/*.ipynb

pictures: setup
	$(RUN) -m docs.circumplex
	$(RUN) -m docs.curves

clean:
	rm -rf $(VENV) $(TORCH_VENV) $(FUZZ_VENV) $(GYM_VENV) build *.egg-info
