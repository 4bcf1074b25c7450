# make run    installs what is missing, builds, starts the service and shows it with a sample app
# make test   everything, at most 25 minutes on two cores; needs root, for containers are really run
# make build  bin/shiplog
# make bench  the benchmarks, each with what it is compared to in the same run
# make fuzz   every fuzz target for FUZZTIME (default 30s)
# make lint   gofmt, go vet, staticcheck

export CGO_ENABLED = 1
export GOFLAGS = -buildvcs=false -tags=containers_image_openpgp,exclude_graphdriver_btrfs,netgo,osusergo

VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build run test lint fuzz bench packages test-packages

build:
	go build -ldflags "-s -w -linkmode external -extldflags '-static -Wl,--no-warnings' -X main.version=$(VERSION)" -o bin/shiplog ./cmd/shiplog

packages:
	.ci/packages

test-packages:
	.ci/packages test

run: packages build
	.ci/start

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

bench:
	go test -run '^$$' -bench . ./...

fuzz:
	.ci/fuzz

test: test-packages lint build
	.ci/test
