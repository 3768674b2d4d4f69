# The commands that people and CI use. `make demo` and `make test` are where to begin.

PYTHON ?= python3
CARGO ?= cargo
export CARGO_TERM_COLOR ?= never
RELEASE = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release

.PHONY: help demo test bench bench-full soak bindings install lint format build

help:
	@echo 'make demo      build, then run three nodes that read history and sync (Rust, a C compiler, Python)'
	@echo 'make test      install what the tests need and run them all, in every language'
	@echo 'make bench     measure; one JSON line a figure, kept in target/bench.jsonl'
	@echo 'make soak      ten minutes of everything at once (SOAK_SECONDS for another time)'
	@echo 'make install   the header and the libraries, to PREFIX (/usr/local)'
	@echo 'make bindings  generate the header, the symbol list, the layout and the bindings'
	@echo 'make lint      formatting, clippy, drift of what is generated, layers, docs'

demo:
	$(CARGO) build --locked --release --lib
	WAKUSTORE_LIBRARY=$(RELEASE)/libwakustore.so \
	PYTHONPATH=$(CURDIR)/bindings/python/src $(PYTHON) examples/python/demo.py

test:
	tests/run.sh

bindings:
	bindings/generate.sh

PREFIX ?= /usr/local
LIB = $(DESTDIR)$(PREFIX)/lib

install:
	$(CARGO) build --locked --release --lib
	install -d $(DESTDIR)$(PREFIX)/include $(LIB)
	install -m 644 include/wakustore.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(RELEASE)/libwakustore.so $(LIB)/libwakustore.so.0
	ln -sf libwakustore.so.0 $(LIB)/libwakustore.so
	scripts/static-lib.sh $(RELEASE)/libwakustore.a $(LIB)/libwakustore.a

lint:
	tests/lint.sh

bench:
	tests/bench/run.sh

format:
	$(CARGO) fmt --all

build:
	$(CARGO) build --locked

soak:
	$(CARGO) bench --locked --no-default-features --features sqlite,node --bench soak

bench-full:
	FULL=1 tests/bench/run.sh
