# Everything here runs in .venv, which is made from requirements.lock when it is missing or older.
# Where packages come from is the user's own configuration of pip and uv; none is written down here.

PYTHON ?= python3
MIRROR ?=
TO ?= bundle
TEXTS ?=
FROM ?= bundle
ARGS ?=
UV = .venv/bin/uv $(shell test -w "$${UV_CACHE_DIR:-$$HOME}" || echo --no-cache)
VERIFIED = $(wildcard build/*/notebooks/0[678]_*.ipynb build/*/notebooks/1[02]_*.ipynb)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help repro tour test data verify bundle unbundle lab lint bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

repro: .venv/.made  ## run the whole study on the catalogues that params.yaml lists, and render reports/
	@python -m lib.tools.repro

tour: .venv/.made  ## make a tagger to play with, in a few minutes; then: make lab
	@python -m lib.tools.repro --tour

test: .venv/.made  ## run every test, a file on each core, those that take longest first
	pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 40

data: .venv/.made  ## build data/, the real catalogue: from the network, or from a folder with MIRROR=...
	@python -m lib.fetch $(if $(MIRROR),--mirror "$(MIRROR)")

verify: .venv/.made  ## run the executed analysis notebooks again and compare every output with the stored one
	@test -n "$(VERIFIED)" || { echo "There is nothing to verify: run \`make repro\` first." >&2; exit 1; }
	pytest --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg -p no:cacheprovider $(VERIFIED)

bundle: .venv/.made  ## pack what was run into the folder TO=bundle; texts and photos that are not published with TEXTS=1
	@python -m lib.tools.bundle pack "$(TO)" $(if $(TEXTS),--texts)

unbundle: .venv/.made  ## restore what was run elsewhere from the bundle FROM=bundle
	@python -m lib.tools.bundle restore "$(FROM)"

lab: .venv/.made  ## open the notebooks in JupyterLab; ARGS=... are passed on to it
	@test -w "$$HOME" || export HOME="$$(mktemp -d)"; jupyter lab --allow-root --notebook-dir=. $(ARGS)

lint: .venv/.made  ## check style, types, notebooks, and that the lock is what pyproject.toml asks for
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	nbstripout --verify --keep-id notebooks/*.ipynb
	pytest tests/test_environment.py

bench: .venv/.made  ## measure speed and memory, each beside a peer
	for file in benchmarks/*.py; do python "$$file" || exit 1; done

lock: .venv/.made  ## compile requirements.lock again from pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock pyproject.toml

clean:  ## remove build/ (what stages made; the DVC cache still has it)
	rm -rf build

# uv is in the lock. It puts itself and everything else at the locked versions, checked by their hashes, and compiles them:
# many processes import them, and some systems forbid Python to keep what it compiles. Last comes the study (pyproject.toml).
# The path to it is made relative: with LC_ALL=C, Python 3.11 does not even start if a .pth file names a folder such as /é.
.venv/.made: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; $(PYTHON) is not. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@system="$$($(PYTHON) -c 'import platform as p; print(p.system(), p.machine(), p.libc_ver()[0])')"; case "$$system" in \
		"Linux x86_64 glibc" | "Linux aarch64 glibc" | "Darwin arm64 ") ;; \
		*) echo "PyTorch has no build for this system ($$system). The study runs on 64-bit Linux with glibc (x86-64, ARM)" \
			"and on macOS with an Apple chip; on Windows, use WSL." >&2; exit 1 ;; esac
	@test -x .venv/bin/uv || { $(PYTHON) -m venv --clear .venv && \
		.venv/bin/python -m pip install --quiet "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"; }
	$(UV) pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --editable .
	@echo ../../../.. | tee .venv/lib/python*/site-packages/multimodal_classification_study.pth >/dev/null
	@touch $@
