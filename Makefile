# make help lists what there is.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 60s
STRESS   ?= 90m

# Runs go test as it is and says at the end, once more, what failed and how many tests ran or were skipped.
GOTESTSUM = $(shell cd e2e && $(GO) tool -n gotestsum)

.PHONY: help build test check unit e2e stress matrix soak distance fuzz bench firstbyte load demo clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/edge, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/edge ./cmd/edge

test: check unit ## everything that must pass: format, vet, unit tests with -race, ten seconds of each fuzz target, end to end on two real clusters
	$(MAKE) fuzz FUZZTIME=10s
	$(MAKE) e2e

check: ## gofmt and vet, both modules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd e2e && $(GO) vet ./... && $(GO) vet -tags soak ./...

unit: ## unit tests with -race, no cluster
	$(GOTESTSUM) --format pkgname -- -race -timeout 40m ./...
	$(GO) test -run Allocations ./streams/... ./bridge/... # the race detector makes sync.Pool forget

e2e: ## end-to-end tests on the new and the old cluster; builds and installs what it needs, as root on Debian
	cd e2e && $(GOTESTSUM) --format standard-verbose -- -count=1 -timeout 60m ./...

stress: ## all tests in 30 rounds on a busy machine, or for STRESS (90m); goes on where it was; STRESSFLAGS; see e2e/cmd/stress/doc.go
	@mkdir -p bin && cd e2e && $(GO) build -o ../bin/stress ./cmd/stress && exec ../bin/stress --budget=$(STRESS) $(STRESSFLAGS)

matrix: ## every client on every path to both clusters; UPDATE=1 writes docs/compatibility.md and the README's table
	cd e2e && $(GO) test -count=1 -timeout 60m -v -run '^TestMatrix' . -args -matrix $(if $(UPDATE),-update)

soak: ## 2 GiB of stdin, stalled clients, five silent minutes behind the load balancer, beside the API server itself; cp over a bad link; a table; and an API server's bad days
	cd e2e && $(GO) test -tags soak -count=1 -timeout 90m -v -run '^Test(Soak|Goaway|Rolling)' .

distance: ## downloads and uploads over lines of 20, 50 and 100 ms beside the API server itself, and how long edge takes to leave a dead connection
	cd e2e && $(GO) test -tags soak -count=1 -timeout 60m -v -run '^Test(DistanceTable|DeadConnection|ConnectionComesBack|HTTP1Upstream)' .

fuzz: ## each fuzz target for FUZZTIME (60s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: ## the hot path beside its peers, each pair of dialects, and the bars: 40 minutes; BENCHFLAGS="--json FILE --svg DIR"; see bench/doc.go
	$(GO) run ./bench --idle-hold 10m $(BENCHFLAGS)

firstbyte: ## how long an exec takes to its first byte at a real API server, direct and through edge; FIRSTBYTEFLAGS; see e2e/cmd/firstbyte/doc.go
	cd e2e && $(GO) run ./cmd/firstbyte $(FIRSTBYTEFLAGS)

load: ## 8,000 idle and 500 busy sessions beside edge for 10 minutes, every byte checked; LOADFLAGS; see loadtest/doc.go
	@./loadtest/beside-edge.sh $(LOADFLAGS)

demo: ## kubectl through a load balancer that carries no SPDY, on a real cluster; ONCE=1 ends by itself
	cd e2e && ONCE=$(ONCE) $(GO) run ./cmd/demo

clean: ## what was built here; the testbed's cache stays
	rm -rf bin
