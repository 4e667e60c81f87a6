# Everything that is done with this repository is a target here; `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Debian packages. The demonstration's are what its user types; the tests' are what they run besides.
DEMO_PACKAGES := python3-openstackclient python3-octaviaclient wget ncat
TEST_PACKAGES := $(DEMO_PACKAGES) postgresql openssl curl prometheus python3-barbicanclient iproute2 tempest octavia-tempest-plugin chromium fonts-dejavu-core
BENCH_PACKAGES := haproxy nginx libnginx-mod-stream

# What needs root is run with sudo by others.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
TEST_EXEC := $(if $(SUDO),-exec 'sudo -E env PATH=$(PATH)')

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.PHONY: demo
demo: PACKAGES := $(DEMO_PACKAGES)
demo: packages build ## show poise at work; DEMO_ARGS=--once ends after the tour
	@exec bin/demo $(DEMO_ARGS)

.PHONY: test
test: PACKAGES := $(TEST_PACKAGES)
test: packages ## run every test; one that is skipped counts as failed
	@mkdir -p bin
	@echo "go test ./... (everything it prints goes to bin/test.log)"
	@if go test -v -count=1 -timeout 20m $(TEST_EXEC) ./... 2>&1 | tee bin/test.log | grep -E '^(ok|FAIL|panic:)|^ *--- (FAIL|SKIP):' \
	  && ! grep -qE '^ *--- SKIP:' bin/test.log; then \
	  echo "every test passed, none was skipped"; \
	else \
	  echo; echo "What failed or was skipped:"; \
	  grep -vE '^ *(=== |--- PASS|PASS$$|ok )' bin/test.log | grep -E -B 60 '^ *--- (FAIL|SKIP):|^panic:|build failed' | tail -n 400; exit 1; \
	fi

.PHONY: conformance
conformance: PACKAGES := $(TEST_PACKAGES)
conformance: packages ## every test of octavia-tempest-plugin that a real Octavia passes; some five minutes
	go test -v -count=1 -timeout 70m $(TEST_EXEC) -run '^TestTempest$$' ./conformance -tempest

.PHONY: chaos
chaos: PACKAGES := $(TEST_PACKAGES)
chaos: packages ## the robustness tests for longer: 200 kills, 20 stops, a million requests
	go test -v -count=1 -timeout 90m $(TEST_EXEC) ./acceptance/robust -chaos

.PHONY: race
race: PACKAGES := $(TEST_PACKAGES)
race: packages ## the tests of internal/… with the race detector; on two processors some twenty minutes
	go test -race -short -timeout 40m $(TEST_EXEC) ./internal/...

.PHONY: check
check: ## format, vet, staticcheck and the quick tests, in less than a minute
	@unformatted=$$(go tool gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not gofumpt-clean: $$unformatted"; exit 1; fi
	@before=$$(cat internal/console/*_templ.go | sha256sum); $(MAKE) -s generate 2>/dev/null; \
	  if [ "$$before" != "$$(cat internal/console/*_templ.go | sha256sum)" ]; then echo "generated files were not up to date; now they are: commit them"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go test -short ./internal/...

.PHONY: bench
bench: PACKAGES := $(BENCH_PACKAGES)
bench: packages ## measure speed, against named peers; needs root
	go run ./bench/tcp
	go run ./bench/http
	go run ./bench/udp
	go run ./bench/provision
	go run ./bench/api
	go run ./bench/console
	go run ./bench/neighbours

.PHONY: generate
generate: ## make again what is generated: the console's pages
	go tool templ generate -path internal/console
	go tool gofumpt -w internal/console/*_templ.go

.PHONY: screenshots
screenshots: PACKAGES := $(TEST_PACKAGES)
screenshots: packages ## write pictures of every page of the console into bin/screenshots; needs root
	@rm -rf bin/screenshots && mkdir -p bin/screenshots
	POISE_SCREENSHOTS=$(CURDIR)/bin/screenshots go test -count=1 $(TEST_EXEC) -run '^TestConsolePages$$' ./acceptance
	@ls bin/screenshots | wc -l

.PHONY: build
build: ## build bin/poise
	@command -v go >/dev/null || { echo "Go is missing: https://go.dev/doc/install"; exit 1; }
	CGO_ENABLED=0 go build -o bin/ ./cmd/...

.PHONY: packages
packages:
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "these Debian packages, or what they hold, are needed:$$missing"; exit 1; }; \
	  echo "installing$$missing"; \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	fi
