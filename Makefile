# The few verbs of this repository. `make` alone lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## fill .venv from constraints.txt; the other verbs do this by themselves

# Only what constraints.txt names, by hash. One hash turns hash checking on for the whole command, and
# pip then refuses a local project: so the project itself comes second, built by the pinned backend.
$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@echo "Installing $$(grep -c == constraints.txt) packages into .venv; they need about 3 GB of disk."
	@rm -f $@
	@$(PYTHON) -m venv .venv
	@test -t 1 || quiet=--quiet; \
	 $(BIN)/python -m pip --disable-pip-version-check --no-input install $$quiet --require-hashes -r constraints.txt
	@$(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## train, evaluate and report on real solar cells; writes runs/demo
	@$(BIN)/headstart demo

test: install ## run the tests, in two processes with cores of their own
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-faults: install ## the counted fault tests in full, such as 2,016 corrupt images
	@$(BIN)/python -m pytest -m faults

test-serving: install ## the counted tests of the server in full: load, attacks, crashes, half an hour of soak
	@$(BIN)/python -m pytest -m serving

lint: install ## check style, types and known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/python tools/audit.py

fix: install ## repair what the linter can repair, and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: install ## check that links, commands and options in the documents are true
	@$(BIN)/python -m pytest tests/test_docs.py $(wildcard tests/test_readme.py)

bench: install ## run every benchmark; they resume
	@set -e; for script in benchmarks/bench_*.py; do echo "$$script"; $(BIN)/python "$$script"; done

bench-elpv: install ## accuracy of frozen and fine-tuned VGG16 on the ELPV solar cells
	@$(BIN)/python benchmarks/bench_elpv.py
	@$(BIN)/python benchmarks/bench_finetuned.py

bench-data: install ## images a second of decode + fit, beside OpenCV, Pillow, TensorFlow and Keras
	@$(BIN)/python benchmarks/bench_data.py

bench-scaled: install ## what decoding JPEGs at a fraction does to accuracy
	@$(BIN)/python benchmarks/bench_scaled.py

bench-training: install ## whole trainings beside Keras and PyTorch: seconds, memory; three hours
	@$(BIN)/python benchmarks/bench_training.py

bench-inference: install ## from bytes to labels beside Keras, ONNX Runtime and PyTorch: rate, accuracy, latency
	@$(BIN)/python benchmarks/bench_inference.py

bench-pareto: install ## accuracy and rate with fewer pixels and fewer blocks, and the figure
	@$(BIN)/python benchmarks/bench_pareto.py

bench-serving: install ## the server under load beside LitServe and Flask: answers a second, latency, memory
	@$(BIN)/python benchmarks/bench_serving.py

bench-unfamiliar: install ## whether photographs, noise and text are told from solar cells
	@$(BIN)/python benchmarks/bench_unfamiliar.py

bench-report: install ## numbers and report of 1,000 classes and 50,000 predictions: seconds, memory
	@$(BIN)/python benchmarks/bench_report.py

LOCK := uv pip compile pyproject.toml --quiet --no-config --generate-hashes --no-annotate --no-emit-index-url \
  --custom-compile-command "make lock" --python-version 3.11 --python-platform x86_64-manylinux_2_28

# Of the extras all but `gpu`, which excludes `cpu`; for the container what serving needs, in the same versions.
lock: install ## write both constraints.txt anew from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@$(BIN)/$(LOCK) $(addprefix --extra ,cpu demo dev export heic postgres serve tensorboard) $(UPGRADE) \
	  --output-file constraints.txt
	@$(BIN)/$(LOCK) $(addprefix --extra ,heic postgres serve) --group build --constraint constraints.txt \
	  --output-file deploy/constraints.txt

.PHONY: help install demo test test-faults test-serving lint fix docs bench bench-elpv bench-data bench-inference bench-pareto bench-report bench-scaled bench-serving bench-training bench-unfamiliar lock
