# make setup   .venv with everything in it        make test    the tests
# make demo    clips -> features -> store         make check   ruff, mypy, import-linter
# make bench   the benchmarks
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
LOCK := $(shell sha256sum constraints.txt | cut -c1-16)
SELF := $(shell echo "$(CURDIR)" | cat - pyproject.toml | sha256sum | cut -c1-16)
# A changed lock makes the environment anew; a changed pyproject.toml or another checkout only installs itself again.
ENVIRONMENT := $(VENV)/.lock-$(LOCK)
INSTALLED := $(VENV)/.self-$(SELF)
DEMO ?= demo
FIVE := --backbone resnet152 --backbone r2plus1d_18 --backbone clip_vit_l14 --backbone vggish --backbone clap

.PHONY: setup demo test check bench clean
.DEFAULT_GOAL := setup

setup: $(INSTALLED)
	@echo "ready: $(BIN)/avvp --help"

$(ENVIRONMENT):
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(INSTALLED): $(ENVIRONMENT)
	rm -f $(VENV)/.self-*
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	@echo "== 24 made-up clips in the shape of LLP, with known labels"
	$(BIN)/avvp synthetic $(DEMO) --count 24
	@echo "== light backbones on all 24: efficientnet_lite0 with its real ImageNet weights, vggish with RANDOM weights"
	$(BIN)/avvp extract --clips $(DEMO)/annotations --media $(DEMO)/clips --store $(DEMO)/demo.zarr \
		--backbone efficientnet_lite0 --backbone vggish --weights pretrained --weights vggish=random:0
	@echo "== all five published backbones on 4 of them, with RANDOM weights: real networks, meaningless numbers"
	head -n 5 $(DEMO)/annotations/AVVP_train.csv > $(DEMO)/four.csv
	$(BIN)/avvp extract --clips $(DEMO)/four.csv --media $(DEMO)/clips --store $(DEMO)/five.zarr $(FIVE) --weights random:0
	@echo "== what is done"
	$(BIN)/avvp status $(DEMO)/demo.zarr
	$(BIN)/avvp status $(DEMO)/five.zarr
	@echo "== what is inside"
	$(BIN)/avvp inspect $(DEMO)/demo.zarr
	$(BIN)/avvp inspect $(DEMO)/five.zarr --clip synth-00000_0_10

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python tests/benchmarks/run.py --out bench

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
