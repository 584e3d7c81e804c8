# make demo: the whole way on generated patients, in about ten minutes on two CPU cores.
# make test: the test suite.
# Both first make .venv with pinned versions. TORCH_INDEX chooses torch's build, see README.md.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

# The demo keeps all it makes inside the checkout.
DEMO ?= $(CURDIR)/demo
COHORT_OPTIONS ?=
TRAIN_OPTIONS ?=
RUN_OPTION ?=
RUN ?= runs/hcc_grade

.PHONY: help setup test test-slow demo demo-short lint
help:
	@sed -n 's/^# //p' Makefile

setup: $(VENV)/installed
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@echo "Setting up $(VENV): several hundred MB of packages, a few minutes the first time."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@PIP_CONSTRAINT=constraints.txt $(PIP) --editable '.[test]'
	@touch $@

test: setup
	$(BIN)/python -m pytest -q -m "not slow and not gpu" -n 2

test-slow: setup
	$(BIN)/python -m pytest -q -m "not gpu" -n 2

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

demo: export MPMRI_CACHE := $(DEMO)/cache
demo: export PATH := $(CURDIR)/$(BIN):$(PATH)
demo: setup
	@echo "== 1. The cohort: generated patients as DICOM"
	@test -d $(DEMO)/cache/cohorts/hcc_phantom_quick || mpmri phantom $(DEMO)/cache/cohorts/hcc_phantom_quick --preset quick $(COHORT_OPTIONS)
	@echo "== 2. Training"
	python -m monai.bundle run training --config_file bundles/hcc_grade/configs/train.json $(TRAIN_OPTIONS)
	@echo "== 3. Evaluation of the weights on the test patients, from the weights alone"
	python -m monai.bundle run evaluating --config_file "['bundles/hcc_grade/configs/train.json','bundles/hcc_grade/configs/evaluate.json']" $(RUN_OPTION)
	@echo "== 4. A study that was never in the cohort"
	@test -d $(DEMO)/new_study || mpmri phantom $(DEMO)/new_study --study
	mpmri scan $(DEMO)/new_study/dicom
	python -m monai.bundle run inference --config_file bundles/hcc_grade/configs/inference.json --models $(RUN) --study $(DEMO)/new_study/dicom --lesion_mask $(DEMO)/new_study/lesions.nii.gz --output_dir $(DEMO)/answer
	@echo
	@echo "Report:      $(CURDIR)/$(RUN)/report.html"
	@echo "Predictions: $(CURDIR)/$(RUN)/predictions.csv"
	@echo "Answer:      $(DEMO)/answer/result.json and picture.png"

# The same on fewer patients and epochs, for continuous integration.
demo-short:
	$(MAKE) demo DEMO=$(CURDIR)/demo/short RUN=demo/short/run COHORT_OPTIONS="--patients 15" TRAIN_OPTIONS="--max_epochs 2 --output_dir demo/short/run" RUN_OPTION="--output_dir demo/short/run"
