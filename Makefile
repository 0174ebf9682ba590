# frostline: the commands of the README. `make demo` and `make test` set up what is missing.
CARGO ?= cargo
# Silences a harmless complaint of Mesa's device-select layer where there is no desktop session.
export NODEVICE_SELECT = 1

.PHONY: demo test test-all lint plan bench-step setup help

help:        ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ -/'

setup:       ## a Vulkan driver, if there is none
	@./scripts/setup.sh

demo: setup  ## chapter 0: why transfer learning; writes out/ch0
	$(CARGO) run --release --example ch0_why_transfer

test: setup  ## all tests that CI runs
	$(CARGO) test --workspace --no-fail-fast

test-all: test  ## the same, and again with the portable kernels
	FROSTLINE_TUNING=portable $(CARGO) test --workspace --no-fail-fast

lint:        ## formatting, clippy and documentation, without warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

plan:        ## a plan and its ledger: ResNet-50 frozen below layer4
	$(CARGO) run --release --example plan -- --model resnet50 --freeze-below layer4

bench-step: setup  ## ResNet-18 steps in images/s, beside PyTorch if it is installed
	./benches/peers.sh
