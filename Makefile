.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

$(VENV)/.installed: constraints.txt settings.ini setup.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11")'
	@echo "making $(VENV) with the pinned versions (about 3 GB on the disk): one to a few minutes"
	"$(PYTHON)" -m venv "$(VENV)"
	PIP_CONSTRAINT=constraints.txt "$(BIN)/pip" install --quiet --no-compile --use-pep517 --editable ".[embedded,onnx,serve,openvino,improve,dev]"
	@echo "compiling what was installed"
	@"$(BIN)/python" -c 'import numpy; from emotion_nbdev.projection import project; project(numpy.eye(20))' & \
	"$(BIN)/python" -m compileall -q -j 0 "$(VENV)"/lib > /dev/null 2>&1; wait  # pip would use one core, and UMAP compile in the first run
	@touch $@

.PHONY: help install run test bench results torture notebooks export docs preview clean
help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'
install: $(VENV)/.installed  ## make .venv and install the pinned versions
run: install  ## from texts to a fine-tuned model, on the embedded corpus, and a page on which it answers
	"$(BIN)/emotion-nbdev" run --page
test: install  ## everything that proves the project
	PATH="$(BIN):$$PATH" tools/check.sh
bench: install  ## how fast, beside the chapter's way and its peers: make bench TEXTS=1000 ROUNDS=3 SIZE=distilbert, or SERVE=1, QUALITY=1, FEW=1, GROWTH=1, BESIDE=1, IDEAS=1 MESSAGES=4000 EPOCHS=1
	"$(BIN)/python" benchmarks/$(or $(if $(SERVE),serve.py),$(if $(QUALITY),quality.py),$(if $(FEW),few.py),$(if $(GROWTH),growth.py),$(if $(BESIDE),beside.py),$(if $(IDEAS),ideas.py $(if $(MESSAGES),--messages $(MESSAGES)) --epochs $(or $(EPOCHS),1)),bench.py --texts $(or $(TEXTS),1000) --rounds $(or $(ROUNDS),3) --size $(or $(SIZE),embedded))
results: install  ## record the published figures anew: make results PART=label_noise DATA=folder of the public dataset
	"$(BIN)/python" tools/results.py $(if $(DATA),--data "$(DATA)") $(if $(PART),--part "$(PART)")
torture: install  ## kills, interrupts, hostile folders and a Hub with faults: make torture MINUTES=30
	"$(BIN)/python" tests/torture.py --minutes $(or $(MINUTES),30)
notebooks: install  ## execute the notebooks in place and store their outputs
	PATH="$(BIN):$$PATH" python tools/execute.py
export: install  ## clean the notebooks, export the modules, write README.md
	PATH="$(BIN):$$PATH"; export PATH; nbdev_clean && nbdev_export && python tools/readme.py
docs: install  ## render the pages to _docs/ (with Quarto, or without it by tools/pages); after make run, its model answers on the first
	PATH="$(BIN):$$PATH" python tools/docs.py
preview: docs  ## render, then serve the pages on http://127.0.0.1:8000
	"$(BIN)/python" -m http.server --bind 127.0.0.1 --directory _docs 8000
clean:  ## remove what was built, the environment included
	rm -rf "$(VENV)" _docs _proc build dist *.egg-info
