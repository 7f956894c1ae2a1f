# Bare `make` prints the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

FUZZTIME ?= 60s
BENCHTIME ?= 200ms
BENCHCOUNT ?= 3
CHAOS_TIME ?= 60s
MUTANT_TIME ?= 4m
# No file is left out for having one of these.
TAGS := e2e,bench,chaos
CHAOS_FOLDER ?= bin/chaos/$(shell date +%Y%m%d-%H%M%S)

.PHONY: help run build check test e2e e2e-long fuzz bench bench-rings bench-watchers bench-nodes bench-moves bench-replication bench-stream bench-request bench-proxy bench-proxy-latency model sim chaos chaos-mutants clean

help: ## print the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: build ## run a whole cluster on loopback: 3 control members, 2 proxies, 3 nodes
	@bin/stead dev

build: ## build bin/stead
	@go build -o bin/stead ./cmd/stead

check: ## format, vet, staticcheck, architecture rules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	@go vet -tags $(TAGS) ./...
	@go tool staticcheck -tags $(TAGS) ./...
	@go test -count=1 ./tests

# Four packages at a time, for most wait more than they compute; the longest first.
test: ## the tests, with the race detector
	@go test -race -p 4 ./controlplane ./tests/simulation ./dataplane ./...

# Three at a time of those that call t.Parallel, for they mostly wait.
e2e: ## the tests that run real binaries: kill -9, restarts, real input
	@go test -tags e2e -count=1 -timeout 20m -parallel 3 ./tests/e2e

e2e-long: ## what `make e2e` does a few times for killed caches, takeovers, fencing and lost control planes, in full
	@STEAD_E2E_LONG=1 go test -tags e2e -count=1 -timeout 60m -v -run 'TestCacheKilled|TestTakeover|TestStoppedPrimary|TestOwnersOutliveControlPlane|TestHistoryMemory' ./tests/e2e

model: ## the ownership protocol within large bounds: up to 25 million states each, 6 GB, about an hour
	@GOMEMLIMIT=7GiB go test -count=1 -v -timeout 3h -run '^TestModelWithinLargeBounds$$' ./api/ownership -large

# The run is detached: interrupting make leaves it running, and CHAOS_FOLDER=... of a run that was broken off goes
# on with it. docs/testing.md names the other variables.
sim: ## a cluster in one process under seeded faults: SIM_SEEDS (20) scenes of three minutes, from SIM_SEED on
	@SIM_SEEDS=$${SIM_SEEDS:-20} go test -count=1 -v -timeout 3h -run '^TestSimulation$$' ./tests/simulation

chaos: export CHAOS_TIME := $(CHAOS_TIME)
chaos: export CHAOS_FOLDER := $(CHAOS_FOLDER)
chaos: export CHAOS_BINARY ?= bin/stead
chaos: build ## a cluster under load, faults and moves, every operation checked: CHAOS_TIME (60s), root on Linux
	@go test -c -tags chaos -o bin/chaos.test ./tests/chaos && mkdir -p $(CHAOS_FOLDER)
	@echo "log: $(CHAOS_FOLDER)/log"; touch $(CHAOS_FOLDER)/log; \
	setsid bin/chaos.test -test.run '^TestChaos$$' -test.v -test.timeout 0 >>$(CHAOS_FOLDER)/log 2>&1 </dev/null & \
	tail -n 0 -f --pid=$$! $(CHAOS_FOLDER)/log; wait $$!

chaos-mutants: ## chaos with nodes whose protocol is broken, MUTANT_TIME (4m) each: says which of them it found out
	@for mutant in $${MUTANTS:-$$(go run ./tests/chaos/mutants)}; do \
		go run ./tests/chaos/mutants $$mutant bin/stead-$$mutant || exit 1; \
		CHAOS_EXPECT=violation CHAOS_NODE_BINARY=bin/stead-$$mutant $(MAKE) --no-print-directory chaos \
			CHAOS_TIME=$(MUTANT_TIME) CHAOS_FOLDER=$(CHAOS_FOLDER)-$$mutant >/dev/null; \
		echo "$$mutant: $$(grep -hoE 'found, as expected:.*|no violation was found.*' $(CHAOS_FOLDER)-$$mutant/log)"; \
	done

fuzz: ## every fuzz target, FUZZTIME each (60s)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 2 $$package; \
		done; \
	done

bench: ## the benchmarks behind the numbers in the docs, about four minutes
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) ./api/ring
	@$(MAKE) --no-print-directory bench-rings bench-watchers bench-nodes

bench-rings: ## the ring beside other libraries: lookup, movement, evenness
	@go test -tags bench -count=1 -v -run '^TestRings$$' ./tests/bench

bench-watchers: ## a change of the ring to 1,000 and 5,000 watchers
	@go test -tags bench -count=1 -v -timeout 10m -run '^TestWatchers$$' ./tests/bench

bench-nodes: ## 10,000 nodes that beat, and 30 % of them vanishing
	@go test -tags bench -count=1 -v -timeout 10m -run '^TestTenThousandNodes$$' ./tests/bench

bench-moves: ## 2 GB (BENCH_BYTES) as a cluster grows from 3 nodes to 4, beside the disk alone and Redis Cluster
	@go test -tags bench -count=1 -v -timeout 90m -run '^TestMoves$$' ./tests/bench

bench-replication: ## updates of one, two and three replicas beside an append that is synced
	@go test -tags bench -count=1 -v -timeout 10m -run '^TestReplication$$' ./tests/bench

# JSON=1 prints an object a line; PROXY_FLAGS are those of tests/bench/proxies_test.go. The last line sums up.
bench-proxy: ## the proxy beside HAProxy, nginx and Caddy: CPU per request, about four minutes
	@go test -c -tags bench -o bin/bench.test ./tests/bench && cd tests/bench && \
	../../bin/bench.test -test.run '^TestProxies$$' -test.timeout 2h $(if $(JSON),-json) $(PROXY_FLAGS)

bench-proxy-latency: ## how long answers take at half the rate that saturates HAProxy
	@go test -c -tags bench -o bin/bench.test ./tests/bench && cd tests/bench && \
	../../bin/bench.test -test.run '^TestProxiesAtHalf$$' -test.timeout 2h $(PROXY_FLAGS)

bench-request: ## one request through the proxy, to nodes of HTTP/1.1 and by stead-mux: time and allocations
	@go test -run '^$$' -bench '^BenchmarkRequest$$' -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) ./dataplane

bench-stream: ## 10 GB (STREAM_BYTES) up and down through a proxy, by mux and HTTP/1.1: what memory it takes
	@STREAM_BYTES=$${STREAM_BYTES:-10000000000} go test -count=1 -v -timeout 60m -run '^TestConstantMemory$$' ./dataplane

clean: ## remove what was built
	@rm -rf bin
