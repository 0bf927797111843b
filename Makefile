# Each goal sets up `.venv` by itself: Python 3.11, gcc and make are all that a machine needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST := .venv-oldest
TYPECHECK := build/typecheck

export HF_HUB_OFFLINE := 1

.PHONY: setup demo test test-two-threads test-oldest test-browser test-space release-check viewer quality format clean

setup: $(STAMP)

# uv reads local wheels from UV_FIND_LINKS, pip from PIP_FIND_LINKS. Without local wheels torch comes from the registry:
# `UV_TORCH_BACKEND=cpu make setup` then takes the small build for CPUs.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--constraints constraints.txt --editable '.[video,train,test,quality]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/infinitedance demo

# With another Python: make test PYTHON=python3.13 VENV=.venv-3.13
# Two processes of one thread each; `make test-browser` runs the tests that need a browser.
test: $(STAMP)
	@if ! $(BIN)/infinitedance capture --fetch-models --network full > /dev/null; then \
		echo 'Without the landmark models the tests of the networks are skipped.'; \
	fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not browser"

# Sums are rounded by the number of threads: what computes must not depend on it. Threads that wait leave the cores to
# the other process.
test-two-threads: $(STAMP)
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses 2 --dist loadfile \
		$(addprefix tests/,modeling restoration retrieval tokenization test_pipeline.py)

# The oldest versions that pyproject.toml allows, in an environment of their own, which is listed first.
test-oldest:
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct \
		--editable '.[video,train,test]'
	$(OLDEST)/bin/uv pip list --python $(OLDEST)/bin/python
	$(OLDEST)/bin/python -m pytest

# The viewer in headless Chromium. It is a package of Debian: installed here by root, else asked for.
test-browser: $(STAMP)
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--constraints constraints.txt --editable '.[browser]'
	@if ! { command -v chromium && command -v chromedriver; } > /dev/null; then \
		if [ "$$(id -u)" != 0 ]; then echo 'Install Chromium first: sudo apt-get install chromium chromium-driver'; exit 1; fi; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; \
	fi
	@if ! (cd tests/browser/readers && npm install --silent --no-fund --no-audit && npm run --silent build); then \
		echo 'Without npm and its registry the readers of exported files are not built: their tests are skipped.'; \
	fi
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m browser tests/browser

# The Space as Hugging Face runs it, and the steps of the Dockerfile, in new environments: gigabytes from the registry.
test-space: $(STAMP)
	$(BIN)/python -m pytest -rs tests/hosted

# What `dist/` then holds is the release. With all: make release-check CHECK=--fbx PYTHON=python3.13 VENV=.venv-3.13
release-check: $(STAMP)
	UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--constraints constraints.txt --editable '.[release]'
	$(BIN)/python .ci/release_check.py $(CHECK)

# assets/viewer.js, from its sources: needs Node.js 20 or newer. Versions are exact in package.json.
viewer:
	cd spaces_demo/viewer && npm install --silent --no-fund --no-audit && npm run --silent build

# mypy reads the package as users get it: the repository root cannot be type-checked under its own name.
quality: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(TYPECHECK) .
	cp -r benchmarks $(TYPECHECK)
	cd $(TYPECHECK) && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache \
		--python-executable ../../$(BIN)/python --package infinitedance --package benchmarks

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
