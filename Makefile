# Every target sets itself up: all it takes is Deno, or Node.js with npm (see scripts/deno).
DENO ?= scripts/deno

.DEFAULT_GOAL := help
.PHONY: help demo test check manifests docs build image rootfs bpf bench fmt test-kernels

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## In-memory Kubernetes API, the controller and a short story, on loopback
	@$(DENO) task demo

test: ## Run every tier of tests that this machine can run
	@$(DENO) task test

check: ## Formatting, lint and types
	$(DENO) fmt --check
	$(DENO) lint
	$(DENO) task check

manifests: ## Generate the CustomResourceDefinition from the schema
	$(DENO) task manifests

docs: ## Generate the reference pages from the code
	$(DENO) task docs

build: ## Compile dist/podconfigmap-controller
	$(DENO) task build

image: ## Build the image of controller and agent: dist/image.tar (needs Debian or Ubuntu, buildah, a C compiler)
	$(DENO) task image

rootfs: ## Put together what deploy/image/Containerfile takes, for a container engine of your own
	$(DENO) task image --rootfs

test-kernels: ## Run the kernel tests on Linux 5.10, 6.1 and 6.12 (needs QEMU: see scripts/kernels.ts)
	$(DENO) run --allow-all --no-check scripts/kernels.ts

bpf: ## Compile the eBPF objects anew (needs clang, llvm and libbpf's headers)
	$(DENO) run --allow-all --no-check scripts/bpf.ts

bench: ## Measure against a real API server (needs KUBEBUILDER_ASSETS)
	$(DENO) task bench

fmt: ## Format the sources
	$(DENO) fmt
