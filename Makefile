# `make help` tells the targets. Works with GNU make 3.81 (macOS).

TARGET = $(or $(CARGO_TARGET_DIR),target)
CLI = $(TARGET)/release/kubectl-kinesisdemo
MANIFEST = examples/quick.yaml
KEEP =
DEMO_FLAGS = $(if $(filter-out 0 no false,$(KEEP)),--keep)

.DEFAULT_GOAL = help
.PHONY: help demo demo-down doctor build assets test lint fmt generate

help: ## Tell the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  make demo MANIFEST=examples/cold.yaml   another event"
	@echo "  make demo KEEP=1                        leave everything up; then: . target/demo/env"

demo: build ## Run a viral event on this machine, from nothing to nothing
	@$(CLI) demo $(DEMO_FLAGS) $(MANIFEST)

demo-down: build ## End what `make demo KEEP=1` left up
	@$(CLI) demo-down

doctor: ## Check what the demo and the tests need on this machine
	@hack/doctor

build: ## Build all programs in release
	@cargo build --release --locked --workspace --bins

assets: ## Have a Kubernetes API server on this machine (found, fetched or built)
	@hack/envtest/envtest

test: ## Run all tests; those with a real API server and real processes too
	@assets=$$(hack/envtest/envtest) && cargo build --locked --workspace --bins && \
	  KUBEBUILDER_ASSETS="$$assets" cargo test --locked --workspace --no-fail-fast

lint: ## Formatting and clippy, warnings denied
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	@cargo fmt --all

generate: ## Write the generated files: crds/
	@mkdir -p crds
	@cargo run --locked --quiet --package kinesis-demo-operator -- crd > $(TARGET)/crd.yaml
	@mv $(TARGET)/crd.yaml crds/kinesisdemos.kinesisdemo.io.yaml
