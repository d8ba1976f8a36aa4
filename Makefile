# SPDX-License-Identifier: Apache-2.0
# The front door; the house itself is meson.build. `make help` tells what there is.
PREFIX ?= /usr/local
BUILD ?= build-release
CHECK ?= build
export KIST_BUILD_DIR = $(abspath $(CHECK))

.PHONY: all demo test self unit e2e lint bench install clean deps help

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja: | check-build-tools
	meson setup $(BUILD) --buildtype=release --prefix=$(PREFIX) -Dunit_tests=false -Db_lto=true

.PHONY: check-build-tools
check-build-tools:
	@tools/deps build run

demo:
	tools/deps build run demo
	$(MAKE) all
	tools/demo $(abspath $(BUILD))

# Everything a change must pass on this machine, except lint: see tools/test.
test:
	tools/deps build run test
	tools/test

# kist builds kist, in a Debian that has only what tools/deps names, and runs its unit tests there.
self:
	tools/deps build run demo
	$(MAKE) all
	tools/self $(abspath $(BUILD))

unit: $(CHECK)/build.ninja
	meson test -C $(CHECK) --suite unit --print-errorlogs

e2e: $(CHECK)/build.ninja
	ninja -C $(CHECK)
	/usr/bin/python3 -m pytest -q tests/e2e

$(CHECK)/build.ninja: | check-build-tools
	meson setup $(CHECK) -Dwerror=true

lint:
	tools/deps build test lint
	tools/lint

bench:
	tools/deps build run bench
	$(MAKE) all
	bench/run $(abspath $(BUILD))

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX) && ninja -C $(BUILD) >/dev/null
	meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

clean:
	rm -rf build build-*

deps:
	tools/deps build run test lint bench demo

help:
	@echo 'make            release build in $(BUILD)/'
	@echo 'sudo make demo  install dependencies, build, show the main job'
	@echo 'sudo make test  unit tests (gcc, clang, sanitizers), fuzz corpora, end-to-end tests'
	@echo 'sudo make self  kist builds kist (packaging/Dockerfile), its unit tests run inside'
	@echo 'make lint       format, layers, sizes, words, headers, clang-tidy, gcc -fanalyzer'
	@echo 'sudo make bench figures beside the peers, written to docs/performance.md'
	@echo 'sudo make install [DESTDIR=] [PREFIX=/usr/local]'
