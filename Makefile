# Raccordo. `make help` lists the targets.

GO          ?= go
BIN         := bin/raccordo
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SPECTRAL    := @stoplight/spectral-cli@6.16.3
BENCHTIME   ?= 30s

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/raccordo, one binary without cgo
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags "-s -w" -o $(BIN) ./cmd/raccordo

.PHONY: run
run: build ## build and run the demo: a hub, the bodies' systems around it, things to try
	$(BIN) demo

.PHONY: test
test: tools ## run every test, with the race detector
	$(GO) test -race -timeout 20m ./...
	$(GO) test -race -tags faults -run FatalRecord ./hub/crashtest

# What the tests need beside Go. Where it may (Debian, root) it is installed;
# elsewhere the tests say what they skip. With CI=true they fail instead.
.PHONY: tools
tools: ## install what the tests need beside Go, or say what will be skipped
	@missing=""; \
	for pair in xmllint:libxml2-utils mkfs.ext4:e2fsprogs strace:strace; do \
	  command -v $${pair%%:*} >/dev/null 2>&1 || PATH="$$PATH:/sbin:/usr/sbin" command -v $${pair%%:*} >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "installing$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	  else echo "not installed:$$missing; the tests that need them are skipped"; fi; \
	fi
	@if [ ! -x .tools/node_modules/.bin/spectral ]; then \
	  if command -v npm >/dev/null 2>&1; then echo "installing spectral"; npm install --silent --no-fund --no-audit --prefix .tools --ignore-scripts $(SPECTRAL) >/dev/null; \
	  else echo "npm is not installed; the lint of the API contract is skipped"; fi; \
	fi

.PHONY: bench
bench: ## the whole path under load, and the store's share; BENCHTIME=5m for a long run
	@mkdir -p bin
	$(GO) test ./hub/hubtest/bench -count 1 -timeout 0 -run TestPath -v -args -duration $(BENCHTIME) -out $(CURDIR)/bin/bench.json
	$(GO) test -run '^$$' -bench 'ClaimSettle' -benchtime 3s ./hub/store/sqlite ./hub/ledger

.PHONY: soak
soak: tools ## 200 power cuts and 200 kills of stream, store and whole hub
	RACCORDO_CUTS=200 RACCORDO_KILLS=200 $(GO) test -count 1 -timeout 0 -v -run 'PowerCut|Kill' ./hub/stream/embedded ./hub/store/sqlite ./hub/crashtest

.PHONY: lint
lint: ## format, vet, staticcheck
	@unformatted=$$(gofmt -l cmd connectors consent deploy hub schemas); \
	if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff

.PHONY: lint-api
lint-api: tools ## hold the API contract against the official rules: RULES=DIR with spectral.yml and spectral-full.yml
	@test -n "$(RULES)" || { echo "RULES=DIR names the directory of the official rule sets"; exit 2; }
	.tools/node_modules/.bin/spectral lint -F error -r $(RULES)/spectral.yml hub/api/openapi.yaml
	.tools/node_modules/.bin/spectral lint -F warn -r $(RULES)/spectral-full.yml hub/api/openapi.yaml

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .tools bench.json
