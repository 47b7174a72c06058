# make demo   see it work, on this machine alone        make test   everything CI checks
# make build  binaries into bin/                        make lint   gofmt, vet, staticcheck, all systems
# make gui    the window alone into bin/                make unit   tests without privilege
# make walk   10 minutes at random before the real window     make screens  the pictures of docs/screens
# make lifetimes [LIFETIMES=1h]   new keys every few seconds under load, for as long
# make soak [SOAK=100000] [SOAK_FROM=0]   both ends of IKE through as many storms, and
#                                         whole services through a twentieth of that
# make flows [FLOWS=1000000000] [MTU_STEP=4]   so many checked bytes through each way of moving
#                                         packets, and transfers through links of every width
# make foreign  both ends with libreswan, in a virtual machine with a kernel of its own
# make bench  benchmarks, against wireguard-go and strongSwan where a claim is made
# make fuzz [FUZZTIME=1m]

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

export GOFLAGS := -trimpath -buildvcs=false
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X sallyport/core/api.Version=$(VERSION)
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
ROOTENV := $(SUDO) env PATH="$$PATH" HOME="$$HOME" GOFLAGS="$(GOFLAGS)" SALLYPORT_ROOT_TESTS=1 SALLYPORT_BIN="$(CURDIR)/bin"
# The packages of the window: with cgo and OpenGL in the program, without either
# (ci) in tests, which need no screen.
GUI     := ./app/theme ./app/tray ./app/ui/... ./app/cmd/sallyport-gui
# Without the emoji of Fyne, of which each style of text holds a copy: 4 MB of
# memory each, for what those of the system can show as well.
GUITAGS := migrated_fynedo,no_emoji
CITAGS  := ci,migrated_fynedo
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
TARGETS := linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64
FUZZTIME ?= 30s
LIFETIMES ?= 1h
SOAK ?= 100000
SOAK_FROM ?= 0
FLOWS ?= 1000000000
MTU_STEP ?= 4

# What cgo needs for the window; empty when it is there.
GUILACKS := $(shell .ci/setup lacks gui 2>/dev/null)

.PHONY: build gui demo test lint cross unit root walk soak flows lifetimes foreign screens bench fuzz clean

build:
	@mkdir -p bin
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o bin/ ./platform/cmd/sallyportd ./platform/cmd/sallyport-token ./app/cmd/sallyport
	@if [ -z "$(GUILACKS)" ]; then $(MAKE) --no-print-directory gui; \
	else echo "bin/sallyport-gui is not built; it needs: $(GUILACKS) (.ci/setup gui installs them)"; rm -f bin/sallyport-gui; fi

gui:
	@mkdir -p bin
	go build -tags $(GUITAGS) -ldflags '$(LDFLAGS)' -o bin/ ./app/cmd/sallyport-gui

# The window opens where there is a display and what it is built from.
demo:
	@.ci/setup demo
	@$(MAKE) --no-print-directory build
	@bin/sallyport demo

test:
	@.ci/setup test
	@$(MAKE) --no-print-directory lint cross unit root

lint:
	@echo "== gofmt, vet, staticcheck"
	@out=$$(gofmt -l app core platform installer assets); [ -z "$$out" ] || { echo "not gofmt'ed:"; echo "$$out"; exit 1; }
	@go vet -tags $(CITAGS) ./...
	@$(STATICCHECK) -tags $(CITAGS) ./...
	@[ -n "$(GUILACKS)" ] || go vet -tags $(GUITAGS) ./app/cmd/sallyport-gui

# core, service and command line build and vet for every system we ship. So does
# the window, but for its main on macOS, where Fyne needs Objective-C.
cross:
	@for t in $(TARGETS); do echo "== build and vet $$t"; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./platform/cmd/sallyportd; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./platform/cmd/sallyport-token; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./app/cmd/sallyport; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go vet -tags $(CITAGS) $$(go list -tags $(CITAGS) ./... | { [ $${t%/*} = darwin ] && grep -v /cmd/sallyport-gui || cat; }); done

# Everything that needs no privilege, with the race detector; benchmarks once. The
# detector is not for the storms of IKE, which have one goroutine and many seeds, nor
# for the test that shows a menu on a bus: the tray's library counts the menu's
# versions without a lock.
ALONE := ^(TestPanel|TestStorm|TestEveryCollision)$$
unit:
	@echo "== unit tests"
	@go test -race -shuffle=on -tags $(CITAGS) -skip '$(ALONE)' ./core/... ./app/...
	@go test -tags $(CITAGS) -run '$(ALONE)' ./core/ike ./app/tray
	@go test -run '^$$' -bench . -benchtime 1x ./core/... >/dev/null

# Everything that changes a machine: TUN devices, routes, namespaces, real gateways.
# What measures time runs alone; tests that mostly wait (t.Parallel) together, after it.
root: build
	@echo "== platform and interoperability tests (root, in namespaces of their own)"
	@$(ROOTENV) go test -p 1 -parallel 4 -count=1 -shuffle=on -timeout 20m ./platform/...

# Ten minutes of TestDesktopWalk, of which make test walks 45 seconds.
walk: build
	@.ci/setup test
	@$(ROOTENV) SALLYPORT_WALK=$${SALLYPORT_WALK:-10m} SALLYPORT_WALK_SEED="$${SALLYPORT_WALK_SEED:-}" go test -count=1 -v -timeout 60m -run '^TestDesktopWalk$$' ./platform/interop

# So many seeds of TestStorm, of which make test does 1000, a twentieth of that of
# TestEngineStorm, of which it does 40, and every collision to a depth of 4, where make
# test goes to 2. Without the race detector, for the sake of numbers. A seed that fails
# says how it is run again.
soak:
	@go test -count=1 -timeout 24h -run '^TestEveryCollision$$' ./core/ike -explore.depth 4
	@go test -count=1 -timeout 24h -run '^TestStorm$$' ./core/ike -storm.seeds $(SOAK) -storm.from $(SOAK_FROM)
	@go test -count=1 -timeout 24h -run '^TestEngineStorm$$' ./core/engine -storm.seeds $$(( $(SOAK) / 20 )) -storm.from $(SOAK_FROM)

# A billion bytes in each mode of TestNothingIsChanged, of which make test sends 40
# million, and every link MTU of TestEveryLinkMTU in steps, of which it tries twelve.
flows: build
	@.ci/setup test
	@$(ROOTENV) SALLYPORT_FLOW_BYTES=$(FLOWS) go test -count=1 -v -timeout 24h -run '^TestNothingIsChanged$$' ./platform/interop
	@$(ROOTENV) SALLYPORT_EVERY_MTU=$(MTU_STEP) go test -count=1 -v -timeout 24h -run '^TestEveryLinkMTU$$' ./platform/interop

# Both ends rekey every few seconds under load, and authenticate anew: LIFETIMES long
# with strongSwan, and as long with our own gateway. make test does 14 seconds.
lifetimes: build
	@.ci/setup test
	@$(ROOTENV) SALLYPORT_LIFETIMES=$(LIFETIMES) go test -count=1 -v -timeout 24h -run '^TestRekeyUnderLoad$$' ./platform/interop

# libreswan leaves ESP to the kernel: it runs with Debian's, in a virtual machine
# that is emulated. The first time its packages are fetched, which takes minutes.
foreign: build
	@.ci/setup foreign
	@$(ROOTENV) SALLYPORT_FOREIGN=1 go test -count=1 -v -timeout 30m -run '^TestLibreswan$$' ./platform/interop

# The pages without a screen; the tray's menu as the panel of Xfce shows it.
screens: build
	@.ci/setup test
	@mkdir -p docs/screens
	@SALLYPORT_SCREENS="$(CURDIR)/docs/screens" CGO_ENABLED=0 go test -count=1 -tags $(CITAGS) -run '^TestScreens$$' ./app/ui
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(ROOTENV) SALLYPORT_PICTURES="$$dir" go test -count=1 -run '^TestDesktop$$' ./platform/interop; \
	convert "$$dir/tray-menu.png" -crop 400x330+880+570 +repage docs/screens/tray.png
	@mogrify -strip +dither -colors 256 docs/screens/*.png

# Each part is run, whatever the others came to: a promise that is not kept fails it.
bench: build
	@.ci/setup bench
	@failed=; \
	go test -run '^$$' -bench . -benchmem ./core/... || failed=1; \
	go test -count=1 -v -run '^TestIdlePeers$$' ./core/ike -idle.peers 10000 || failed=1; \
	$(ROOTENV) go test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 30m ./platform/interop || failed=1; \
	$(ROOTENV) go test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 30m ./platform/bench || failed=1; \
	[ -z "$$failed" ]

fuzz:
	@for p in $$(go list -tags $(CITAGS) ./...); do for f in $$(go test -tags $(CITAGS) -list '^Fuzz' $$p | grep '^Fuzz' || :); do \
		echo "== $$p $$f"; go test -tags $(CITAGS) -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; done; done

clean:
	rm -rf bin
