# `make help` lists the targets. Works with GNU make 3.81 (macOS).

# The shell expands it, in quotes: a path may contain any character.
TARGET = "$${CARGO_TARGET_DIR:-target}"
CLI = $(TARGET)/local/kubectl-kinesisdemo
MANIFEST = examples/quick.yaml
# Recipes and scripts read it from the environment, since a space in it would split a command.
export MANIFEST
KEEP =
PLAIN =
REGISTRY =
DEMO_FLAGS = $(if $(filter-out 0 no false,$(KEEP)),--keep) $(if $(filter-out 0 no false,$(PLAIN)),--plain)

# LLVM's linker, rustc's default on this platform, replaces every % in an output path with a random digit, and then fails
# because there is no such folder.
ifneq (,$(findstring %,$(CURDIR)$(CARGO_TARGET_DIR)))
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS += -Clinker-features=-lld
endif

.DEFAULT_GOAL = help
.PHONY: help demo demo-down demo-programs doctor build assets test test-chart test-foundation test-docs test-gitops test-page lint fmt generate pictures images push
.PHONY: cluster-demo cluster-demo-down cluster-test kind kind-down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  make demo MANIFEST=examples/cold.yaml   another event"
	@echo "  make demo KEEP=1                        leave everything running; then: . target/demo/env"

demo: demo-programs ## Run a viral event on this machine, and remove everything
	@$(CLI) demo $(DEMO_FLAGS) -- "$$MANIFEST"

demo-down: ## Stop what `make demo KEEP=1` left running
	@hack/demo/build --programs
	@$(CLI) demo-down

doctor: ## Check what the demo and the tests need on this machine
	@hack/doctor

# At the same time, the API server is found, downloaded, or built by Go's compiler beside Rust's.
demo-programs: ## Build the programs for `make demo`: a quick build, optimised only where records are handled
	@hack/demo/build

build: ## Build all programs in release mode
	@cargo build --release --locked --workspace --exclude xtask --bins

assets: ## Provide a Kubernetes API server on this machine (found, downloaded or built)
	@hack/envtest/envtest

# All targets at once: otherwise Cargo would compile the AWS crates a second time for the programs, with other features.
test: ## Run all tests, including those with a real API server and real processes
	@assets=$$(hack/envtest/envtest) && cargo build --locked --workspace --all-targets && \
	  KUBEBUILDER_ASSETS="$$assets" cargo test --locked --workspace --no-fail-fast

test-chart: ## Run the chart's tests, with the installed tools, or those of hack/chart/tools
	@assets=$$(hack/envtest/envtest) && KUBEBUILDER_ASSETS="$$assets" tests/chart/run

test-foundation: ## Lint the CloudFormation template and deploy it to emulators (needs hack/foundation/venv)
	@tests/foundation/run

test-docs: ## Check the documentation: generated pages, links, commands, messages
	@assets=$$(hack/envtest/envtest) && KUBEBUILDER_ASSETS="$$assets" tests/docs/run

test-gitops: ## Evaluate recorded objects as Argo CD, Flux and kstatus do (Go)
	@tests/gitops/run

test-page: ## Drive the page in a real browser (Chromium, Node; skipped without); pictures in target/pictures
	@cargo build --locked --workspace --bins && tests/page/run

lint: ## Check formatting, clippy with warnings denied, words and the width of comments
	@cargo fmt --all --check
	@hack/lint/text
	@cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	@cargo fmt --all

generate: ## Write the generated files: crds/, the chart's copy, docs/reference/
	@cargo xtask docs

pictures: ## Make the pictures of README and docs from recorded runs (Chromium, Node)
	@hack/demo/build --programs && KINESISDEMO_PAGE_STRICT=1 KINESISDEMO_PAGE_PROGRAMS=$(TARGET)/local tests/page/run pictures

images: ## Build the container images without Docker, into target/images (Linux, buildah)
	@hack/images/build

push: ## Push the images of `make images`: make push REGISTRY=registry.example.com/team
	@hack/images/push "$(REGISTRY)"

cluster-demo: build ## Run the demo in a cluster: make cluster-demo CONTEXT=kind-demo (images: see hack/cluster/load)
	@hack/cluster/load cluster-demo && hack/cluster/demo

cluster-demo-down: ## Remove what cluster-demo created: make cluster-demo-down CONTEXT=kind-demo
	@hack/cluster/demo down

cluster-test: ## Test chart and images in a cluster: make cluster-test CONTEXT=kind-demo
	@hack/cluster/load cluster-test && KINESISDEMO_CLUSTER_CONTEXT="$$CONTEXT" \
	  cargo test --locked --workspace --test cluster -- --nocapture --test-threads 1

kind: build ## Run the demo in a new kind cluster (Docker, kind, kubectl, helm)
	@hack/kind/kind

kind-down: ## Delete that cluster
	@hack/kind/kind down
