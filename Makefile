# frostline: the commands of the README. `make demo` and `make test` set up what is missing.
CARGO ?= cargo
# Silences a harmless complaint of Mesa's device-select layer where there is no desktop session.
export NODEVICE_SELECT = 1

.PHONY: demo demo-own lesson site serve publish test test-lesson test-all test-gpu test-swiftshader test-checked test-halves test-tint web test-site test-tab test-browser test-export lint plan bench bench-kernels bench-step bench-peers tune timeline memory gpu-check fuzz trust doctor setup help

help:        ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ -/'

setup:       ## a Vulkan driver, if there is none
	@./scripts/setup.sh

demo: setup  ## chapter 0 with 50 images and 30 photos: why transfer learning; writes out/demo
	$(CARGO) run --release --example ch0_why_transfer -- --quick --out out/demo

demo-own: setup  ## trains on photos that are not among the embedded ones (fetches 161 MB) and predicts new ones
	./scripts/own-photos.sh out/own
	rm -rf out/own/run
	$(CARGO) build --release -p frostline-cli
	$(FROSTLINE) train out/own/photos --out out/own/run
	$(FROSTLINE) evaluate out/own/run out/own/new
	$(FROSTLINE) predict out/own/run out/own/new/bird

# Where cargo puts programs.
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release
DEBUG = $(or $(CARGO_TARGET_DIR),target)/debug
FROSTLINE = $(RELEASE)/frostline

site:        ## the published lesson as a static site: out/site; with the engine for browsers where it can be built
	@scripts/build-web.sh web/site/pkg || echo "The engine for browsers was not built. Nothing trains on the site, unless web/site/pkg has an earlier one; the rest is complete."
	$(CARGO) run --release --example lesson -- --site out/site

serve: site  ## the same at http://127.0.0.1:8080/
	python3 -m http.server --bind 127.0.0.1 --directory out/site 8080

lesson: setup  ## all nine chapters and their page, out/lesson.html; QUICK=1 for a rehearsal
	$(CARGO) build --release --examples
	$(CARGO) run --release --example lesson -- $(if $(QUICK),--quick)

publish:     ## finished studies in out/chN: docs/results, docs/figures, docs/lesson.md and the README's parts
	$(CARGO) run --release --example lesson -- --publish docs

test: setup  ## all tests that CI runs
	$(CARGO) test --workspace --no-fail-fast

test-lesson: setup  ## the short form of all nine chapters, from the examples that `make test` builds
	$(CARGO) build --workspace --examples
	$(DEBUG)/examples/lesson --quick --out out/quick

test-all: test  ## the same, and again with the portable kernels and with those for GPUs
	FROSTLINE_TUNING=portable $(CARGO) test --workspace --no-fail-fast
	FROSTLINE_TUNING=gpu $(CARGO) test --workspace --no-fail-fast

# The tests that kernels have of their own. `--workspace` compiles nothing that `make test` has not.
KERNEL_TESTS = $(CARGO) test --workspace --no-fail-fast \
	$(patsubst engine/tests/%.rs,--test %,$(wildcard engine/tests/*.rs))

test-gpu: setup  ## the kernels for GPUs, in every tile of their table
	FROSTLINE_TUNING=gpu $(KERNEL_TESTS)

# What describes SwiftShader to the Vulkan loader; Debian's Chromium has it there.
SWIFTSHADER ?= /usr/lib/chromium/vk_swiftshader_icd.json

test-swiftshader: setup  ## kernels and `doctor` on a second driver, SwiftShader (it has no 16-bit floats)
	@./scripts/setup.sh swiftshader $(SWIFTSHADER)
	VK_DRIVER_FILES=$(SWIFTSHADER) $(KERNEL_TESTS)
	VK_DRIVER_FILES=$(SWIFTSHADER) FROSTLINE_TUNING=gpu $(CARGO) test --workspace --test conv2d_tiled
	$(CARGO) build --workspace --bins
	VK_DRIVER_FILES=$(SWIFTSHADER) $(DEBUG)/frostline doctor

test-tint:   ## every kernel text in headless Chromium's compiler (apt-get install chromium chromium-driver)
	$(CARGO) run --release -p frostline-texts -- out/texts.json
	python3 tests/browser/tint.py out/texts.json

test-checked: setup  ## the op tests in checked mode: bounds checks on, loop turns counted on the device
	FROSTLINE_CHECKED=1 $(KERNEL_TESTS) -- --skip over_many_pixels

test-halves: setup  ## gradients of a batch against those of its halves, all networks at their size (FROSTLINE_HALVES, FROSTLINE_TUNING)
	$(CARGO) test --release -p frostline-models --test halves -- --ignored --nocapture

web:  ## the engine for browsers, in web/site/pkg (rustup target add wasm32-unknown-unknown, or on Debian apt-get install rustc-web rust-web-src)
	scripts/build-web.sh web/site/pkg

test-site: site  ## the site and its engine in headless Chromium (apt-get install chromium chromium-driver)
	$(CARGO) build --release -p frostline-cli
	python3 tests/browser/engine.py web/site/pkg
	python3 tests/browser/site.py out/site out/site-shots $(FROSTLINE)

# `--workspace` compiles nothing that `make test` has not.
test-tab: setup  ## the same with the programs that `make test` builds, and what is missing installed: what CI runs
	@./scripts/setup.sh browser
	scripts/build-web.sh web/site/pkg
	$(CARGO) build --workspace --bins --examples
	$(DEBUG)/examples/lesson --site out/site
	python3 tests/browser/engine.py web/site/pkg
	python3 tests/browser/site.py out/site out/site-shots $(DEBUG)/frostline

test-browser: setup  ## the explorer's page and that of `frostline serve` in headless Chromium (apt-get install chromium chromium-driver)
	$(CARGO) build --release --example explorer
	$(CARGO) build --release -p frostline-cli
	python3 tests/browser/explorer.py $(RELEASE)/examples/explorer
	python3 tests/browser/serve.py $(FROSTLINE)

test-export: setup  ## exported models in onnxruntime (a virtual environment from PyPI) and in Debian's PyTorch, on 150 odd photos
	$(CARGO) test --workspace --test commands --no-run
	./scripts/test-export.sh $(DEBUG)/frostline out/test-export

lint:        ## formatting, clippy, documentation, and the matrices printed in the shaders, without warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	python3 shaders/drawings/check_winograd.py

plan:        ## a plan and its ledger: ResNet-50 frozen below layer4
	$(CARGO) run --release -p frostline-cli -- plan --model resnet50 --freeze-below layer4

# The driver must not have compiled the kernels before, or the first step would look too fast.
COLD = MESA_SHADER_CACHE_DISABLE=true __GL_SHADER_DISK_CACHE=0

bench: bench-kernels  ## kernels and steps beside the roofline: out/bench/table.md, kernels.png, *.json
	@$(MAKE) --no-print-directory bench-step
	cat out/bench/kernels.md out/bench/step.md > out/bench/table.md

bench-kernels: setup  ## every convolution of ResNet-18 and -50, pools, norms, updates; ARGS='3x3.*forward'
	$(CARGO) bench --bench kernels -- $(if $(ARGS),'$(ARGS)')

bench-step: setup  ## images/s of ResNet-18 and ResNet-20 steps: out/bench/step.json
	$(COLD) $(CARGO) bench --bench step -- $(if $(ARGS),'$(ARGS)')

bench-peers: setup  ## the same steps in turns with PyTorch, and the ratios
	./benches/peers.sh

tune: setup  ## measures kernel shapes for this adapter, for FROSTLINE_TUNING=tuned; ARGS='--budget 600'
	$(CARGO) run --release --example tune -- $(ARGS)

timeline: setup  ## a step of ResNet-18 frozen below layer4 as a picture: out/timeline.svg and .png
	$(CARGO) run --release --example timeline -- --model resnet18 --freeze-below layer4

doctor: setup  ## the adapters of this machine, and a test of every kernel on each
	$(CARGO) run --release -p frostline-cli -- doctor

gpu-check: setup  ## checks and measures this machine's GPU in at most 7 minutes: out/gpu-check; ARGS=--quick
	./scripts/gpu-check.sh $(ARGS)

fuzz:        ## damaged files against the readers: 1,000,000 safetensors and checkpoints, 100,000 images
	$(CARGO) run --release -p frostline-fuzz -- safetensors --cases 1000000 --seed 0
	$(CARGO) run --release -p frostline-fuzz -- checkpoint --cases 1000000 --seed 0
	$(CARGO) run --release -p frostline-fuzz -- images --cases 100000 --seed 0

trust: setup  ## 200 kills, a fault at every allocation and submit, a full disk, 10,000 steps
	$(CARGO) build --release -p frostline-trust
	$(CARGO) run --release -p frostline-trust -- kill --runs 200
	$(CARGO) run --release -p frostline-trust -- faults --stride 20
	$(CARGO) run --release -p frostline-trust -- disk
	$(CARGO) run --release -p frostline-trust -- steps

memory:      ## bytes kept by ResNet-50 for every freeze, beside PyTorch's
	$(CARGO) test --test memory -- --nocapture resnet50_keeps_less_than_pytorch_saves
