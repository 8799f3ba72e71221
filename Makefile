# `make help` tells the targets. Works with GNU make 3.81 (macOS).

# Expanded by the shell, quoted: a path may hold anything.
TARGET = "$${CARGO_TARGET_DIR:-target}"
CLI = $(TARGET)/laptop/kubectl-kinesisdemo
MANIFEST = examples/quick.yaml
# Recipes and scripts read it from the environment: pasted into a command, a space would split it.
export MANIFEST
KEEP =
REGISTRY =
DEMO_FLAGS = $(if $(filter-out 0 no false,$(KEEP)),--keep)

# LLVM's linker, rustc's default on this platform, fills every % of an output path with a random digit and then finds no such folder.
ifneq (,$(findstring %,$(CURDIR)$(CARGO_TARGET_DIR)))
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS += -Clinker-features=-lld
endif

.DEFAULT_GOAL = help
.PHONY: help demo demo-down doctor laptop build assets test test-chart test-foundation test-docs test-gitops lint fmt generate images push
.PHONY: cluster-demo cluster-demo-down cluster-test kind kind-down

help: ## Tell the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  make demo MANIFEST=examples/cold.yaml   another event"
	@echo "  make demo KEEP=1                        leave everything up; then: . target/demo/env"

demo: laptop ## Run a viral event on this machine, from nothing to nothing
	@$(CLI) demo $(DEMO_FLAGS) -- "$$MANIFEST"

demo-down: ## End what `make demo KEEP=1` left up
	@hack/laptop/build --programs
	@$(CLI) demo-down

doctor: ## Check what the demo and the tests need on this machine
	@hack/doctor

# The API server is had at the same time: what is not found or fetched is built, and by another compiler.
laptop: ## Build the programs for `make demo`: quickly, and fast only where records pass
	@hack/laptop/build

build: ## Build all programs in release
	@cargo build --release --locked --workspace --bins

assets: ## Have a Kubernetes API server on this machine (found, fetched or built)
	@hack/envtest/envtest

# All targets at once: built apart, the programs would have the AWS crates compiled a second time, with other features.
test: ## Run all tests; those with a real API server and real processes too
	@assets=$$(hack/envtest/envtest) && cargo build --locked --workspace --all-targets && \
	  KUBEBUILDER_ASSETS="$$assets" cargo test --locked --workspace --no-fail-fast

test-chart: ## Run the chart's tests, with the tools that are here or that hack/chart/tools made
	@assets=$$(hack/envtest/envtest) && KUBEBUILDER_ASSETS="$$assets" tests/chart/run

test-foundation: ## Lint the CloudFormation template and play it in emulators, where hack/foundation/venv was run
	@tests/foundation/run

test-docs: ## Check the documentation: generated pages, links, commands, messages
	@assets=$$(hack/envtest/envtest) && KUBEBUILDER_ASSETS="$$assets" tests/docs/run

test-gitops: ## Judge recorded objects as Argo CD, Flux and kstatus do (Go)
	@tests/gitops/run

lint: ## Formatting, clippy with warnings denied, words and the width of comments
	@cargo fmt --all --check
	@hack/lint/text
	@cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	@cargo fmt --all

generate: ## Write the generated files: crds/, the chart's copy of it, docs/reference/
	@mkdir -p crds
	@cargo build --locked --quiet --workspace --all-targets
	@$(TARGET)/debug/kinesis-demo-operator crd > $(TARGET)/crd.yaml
	@mv $(TARGET)/crd.yaml crds/kinesisdemos.kinesisdemo.io.yaml
	@cp crds/kinesisdemos.kinesisdemo.io.yaml charts/kinesis-demo-operator/files/
	@hack/docs/generate

images: ## Build the container images without Docker, into target/images (Linux, buildah)
	@hack/images/build

push: ## Push what `make images` made: make push REGISTRY=registry.example.com/team
	@hack/images/push "$(REGISTRY)"

cluster-demo: build ## The demo in a cluster: make cluster-demo CONTEXT=kind-demo (images: see hack/cluster/load)
	@hack/cluster/load cluster-demo && hack/cluster/demo

cluster-demo-down: ## Remove what cluster-demo made: make cluster-demo-down CONTEXT=kind-demo
	@hack/cluster/demo down

cluster-test: ## Test chart and images in a cluster, for itself: make cluster-test CONTEXT=kind-demo
	@hack/cluster/load cluster-test && KINESISDEMO_CLUSTER_CONTEXT="$$CONTEXT" \
	  cargo test --locked --workspace --test cluster -- --nocapture --test-threads 1

kind: build ## The demo in a kind cluster of its own (Docker, kind, kubectl, helm)
	@hack/kind/kind

kind-down: ## Delete that cluster
	@hack/kind/kind down
