# Each target makes the environment and installs the program there if it has to.
PYTHON ?= python3
# The figures of the docs were measured with this version; any other from 2.5 on should do.
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check browser format format-check lint types slow soak fuzz-parsers fuzz-commands benchmark quality comparison bench-gpu bench-cpu experiment samples clean

demo: $(INSTALLED)
	mkdir -p demo
	$(BIN)/denoise sample_images/camera_sigma25.png --sigma 25 \
		--reference sample_images/camera.png --overwrite \
		--output demo/camera_denoised.png --figure demo/camera_figure.png
	@echo "denoised picture: demo/camera_denoised.png"
	@echo "side by side:     demo/camera_figure.png"

# Each process of the tests needs up to a gigabyte. Compiled modules are kept even where the
# environment forbids it: each of the processes would compile them anew.
test: $(INSTALLED)
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: format-check lint types test

# The page of `denoise serve` and the reports, in Chromium, which has to be there.
browser: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable ".[browser]"
	$(BIN)/pytest -m browser --numprocesses auto --maxprocesses 2 --dist worksteal

slow: $(INSTALLED)
	$(BIN)/pytest -m slow

# 500 files, some broken, in a run that is killed five times and resumed: some minutes.
soak: $(INSTALLED)
	$(BIN)/pytest -m slow -s tests/test_soak.py

# Looks for bytes that our parsers do not survive; needs atheris: pip install atheris
MINUTES ?= 60
fuzz-parsers: $(INSTALLED)
	$(BIN)/python tests/fuzz/parsers.py -max_total_time=$$((60 * $(MINUTES)))

# Random commands in odd surroundings, one a second.
RUNS ?= 2000
fuzz-commands: $(INSTALLED)
	$(BIN)/python tests/fuzz/commands.py $(RUNS)

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(INSTALLED)
	$(BIN)/ruff format --check .

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: $(INSTALLED)
	$(BIN)/mypy

# Measures our presets and cheap methods, for instance: make benchmark IMAGES=set12
IMAGES ?= samples
benchmark: $(INSTALLED)
	$(BIN)/denoise benchmark --images "$(IMAGES)"

# Prints the tables of docs/quality.md, for instance: make quality IMAGES="set12/0[1-7].png"
quality: $(INSTALLED)
	$(BIN)/denoise benchmark --images "$(IMAGES)" --methods fast,balanced,best --sigmas 15,25,50
	PYTHONPATH=docs/experiments $(BIN)/python -m ablation $(IMAGES) --sigmas 25

# Makes docs/benchmarks.md with its picture, in an hour and a half on two cores. BM3D needs its package,
# which is not for commercial use: make comparison COMPARED=noisy,...,bm3d
COMPARED ?= noisy,blur,wavelet,tv,nl-means,fast,vae,vae-mlp,balanced,best,vq-vae,gumbel-vae,gm-vae,gm-wae,nash-vae,v-mfa,zs-n2n
comparison: $(INSTALLED)
	$(BIN)/denoise benchmark --images "$(IMAGES)" --methods $(COMPARED) \
		--json comparison.json --resume --markdown docs/benchmarks.md --plot docs/benchmarks.png

# Prints the tables of docs/performance.md, for instance: make bench-gpu IMAGE=set12/02.png
# Squares of PLAIN_SIZES are also denoised without kernels, which takes minutes.
SIZES_GPU ?= 256,512,1024,2048
bench-gpu: PLAIN_SIZES ?= $(SIZES_GPU)
bench-cpu: PLAIN_SIZES ?= 128
bench-gpu bench-cpu: IMAGE_OPTION = $(if $(IMAGE),--image "$(IMAGE)" --seed 2)
bench-gpu: $(INSTALLED)
	PYTHONPATH=docs/experiments $(BIN)/python -m speed --device cuda --sizes $(SIZES_GPU) \
		--plain-sizes $(PLAIN_SIZES) $(IMAGE_OPTION) --json bench-gpu.json
bench-cpu: $(INSTALLED)
	PYTHONPATH=docs/experiments $(BIN)/python -m speed --device cpu --sizes 256,512 \
		--plain-sizes $(PLAIN_SIZES) $(IMAGE_OPTION) --json bench-cpu.json

# Runs a script behind docs/experiments.md: make experiment SCRIPT=calibration ARGS="house.png --seeds 2"
experiment: $(INSTALLED)
	PYTHONPATH=docs/experiments $(BIN)/python -m $(SCRIPT) $(ARGS)

samples: $(INSTALLED)
	$(BIN)/python sample_images/make_samples.py

clean:
	rm -rf $(VENV) demo

$(INSTALLED): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)" --editable ".[dev]"
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet triton \
		|| echo "no Triton for this system: the tests of the GPU's kernels are skipped"
	@touch $@
