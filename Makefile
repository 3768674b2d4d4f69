# The commands that people and CI use. `make demo` and `make test` are where to begin.

PYTHON ?= python3
CARGO ?= cargo
export CARGO_TERM_COLOR ?= never

.PHONY: help demo test bench bench-full bindings lint format build

help:
	@echo 'make demo      build, then run three nodes that read history and sync (Rust, a C compiler, Python)'
	@echo 'make test      install what the tests need and run them all, in every language'
	@echo 'make bench     measure; one JSON line a figure, kept in target/bench.jsonl'
	@echo 'make bindings  generate the header, the symbol list, the layout and the bindings'
	@echo 'make lint      formatting, clippy, drift of what is generated, layers, docs'

demo:
	$(CARGO) build --locked --release --lib
	WAKUSTORE_LIBRARY=$(CURDIR)/target/release/libwakustore.so \
	PYTHONPATH=$(CURDIR)/bindings/python/src $(PYTHON) examples/python/demo.py

test:
	tests/run.sh

bindings:
	bindings/generate.sh

lint:
	tests/lint.sh

bench:
	tests/bench/run.sh

format:
	$(CARGO) fmt --all

build:
	$(CARGO) build --locked

bench-full:
	FULL=1 tests/bench/run.sh
