# Every command we use; `make` explains them. `make run` and `make test` set up what they need.
#   make run HTTP_PORT=8001        make test ARGS="-k lease"        make lock ARGS=--upgrade
#   make images TAG=1.2.3 IMAGES=registry.example.com/decibus

PYTHON ?= python3
ARGS ?=
SERVERS ?=
SERVICES := gateway analyzer transcriber transcoder recorder

venv := .venv
bin := $(venv)/bin
uv_version := 0.13.8

# A stamp says what is installed. Its name holds a checksum of the locks, so that it is the content
# that counts and not the time of a checkout.
sum = $(shell cat $(1) 2>/dev/null | cksum | cut -d ' ' -f 1)
# Where `make images` puts them: <IMAGES>/<service>:<TAG>; and with what it builds.
IMAGES ?= decibus
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BUILDER ?= $(shell for each in docker podman buildah; do \
	$$each info >/dev/null 2>&1 && echo $$each && break; done)
TARGETS ?= $(SERVICES)

# The page: what it is made of, and whether it can be made here. Vite 7 says which node it needs.
web := services/gateway/web
web_sources := $(sort $(shell find $(web) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null))
web_installed := $(web)/node_modules/.installed-$(call sum,$(web)/package-lock.json)
web_built := $(web)/dist/.built-$(call sum,$(web_sources))
has_node := $(shell command -v npm >/dev/null && node -e 'const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(major > 22 || (major == 22 && minor >= 12) || (major == 20 && minor >= 19) ? 0 : 1)' 2>/dev/null && echo yes)
npm = cd $(web) && npm --loglevel=error

can_run := $(venv)/.can-run-$(call sum,pyproject.toml laptop/requirements.txt)
can_test := $(venv)/.can-test-$(call sum,pyproject.toml laptop/requirements.txt tests/requirements.txt)
peer := .tools/peer-$(call sum,bench/peer/requirements.txt)
can_audit := .tools/audit-$(call sum,tools/audit/requirements.txt)
can_train := .tools/demo-model-$(call sum,tools/train_demo_model/requirements.txt)
go_tools := .tools/.go-$(call sum,tests/gotools/go.mod)
chart_tools := .tools/.charts-$(call sum,tests/charts/gotools/go.mod tests/charts/gotools/score/go.mod)

.DEFAULT_GOAL := help
.PHONY: help setup run test e2e chaos soak lint types format check conformance dashboards dead web bench bench-race bench-blobs bench-dsp bench-files bench-sandbox bench-transcriber bench-transcoder bench-streams bench-health bench-flood bench-report demo-model lock licences audit influxd kube-linter images charts chart-readme clean programs

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

setup: $(can_test) programs web $(go_tools) $(chart_tools) ## Install all that developing needs: .venv, .tools, system packages

run: $(can_run) web ## Run the whole pipeline on this machine, until Ctrl-C
	@exec $(bin)/python -m laptop

test: setup ## Run the tests on the newest nats-server, or SERVERS=all; ARGS="..." goes to pytest
	$(if $(has_node),$(npm) test)
	SERVERS=$(SERVERS) $(bin)/python -m pytest $(ARGS)

e2e: setup ## Run only the tests of the whole pipeline, a process a service
	$(bin)/python -m pytest tests/e2e $(ARGS)

chaos: setup ## Kill, freeze and restart everything, in full doses; CHAOS_SEED=N repeats a run
	CHAOS=full SERVERS=all $(bin)/python -m pytest --numprocesses=0 tests/chaos $(ARGS)

soak: setup ## Load everything to 70 % for half an hour, and see what leaks
	SOAK_S=1800 $(bin)/python -m pytest --numprocesses=0 --capture=no tests/chaos/test_soak.py $(ARGS)

lint: $(can_test) ## Check style, format and who imports whom
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/lint-imports
	$(bin)/zizmor --offline --no-progress --quiet .github

types: $(can_test) $(if $(has_node),$(web_installed)) ## Check types
	$(bin)/mypy
	$(if $(has_node),$(npm) run check)

format: $(can_test) ## Format, and mend what can be mended
	$(bin)/ruff check --fix --exit-zero
	$(bin)/ruff format

check: ## What CI runs: lint, types, test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory test

conformance: $(can_test) ## Measure the cases of the standards, and write docs/conformance.md
	$(bin)/python -m tests.dsp.conformance

dashboards: $(can_test) ## Write the Grafana dashboards, charts/decibus/dashboards
	$(bin)/python -m tools.dashboards

web: $(if $(has_node),$(web_built)) ## Build the page, with node 20.19 or newer; else the gateway serves a plain one
	@$(if $(has_node),:,echo "decibus: there is no node 20.19 or 22.12 here: the gateway serves a plain page" >&2; test -z "$$CI")

dead: $(can_run) ## List what failed for good; ARGS="requeue KEY" queues it again
	@$(bin)/python -m services.gateway.dead $(or $(ARGS),list)

bench: bench-blobs bench-dsp bench-files bench-sandbox bench-transcriber bench-transcoder bench-health bench-flood bench-race bench-report ## Measure what docs/performance.md tells, in turn, and write it: 20 minutes

bench-race: $(can_test) $(peer) programs ## Measure the pipeline next to a FastAPI, Celery and Redis service of the same job
	@$(bin)/python -m laptop.programs redis-server
	@$(bin)/python -m bench.race --peer $(peer)/bin/python $(ARGS)

bench-blobs: $(can_test) ## Measure how fast the blob store is
	@$(bin)/python -m bench.blobs $(ARGS)

bench-sandbox: $(can_test) ## Measure what a child for each file costs
	@$(bin)/python -m bench.sandbox $(ARGS)

bench-report: $(can_test) ## Write docs/performance.md from what was measured last
	@$(bin)/python -m bench.report

bench-dsp: $(can_test) ## Measure how fast the meters are, next to other meters
	@$(bin)/python -m bench.dsp $(ARGS)

bench-files: $(can_test) ## Measure how fast a file becomes a report, next to the ffmpeg command
	@$(bin)/python -m bench.files $(ARGS)

bench-transcriber: $(can_test) ## Measure how fast speech becomes text, next to faster-whisper
	@$(bin)/python -m bench.transcriber $(ARGS)

bench-transcoder: $(can_test) ## Measure what a conversion costs, next to the ffmpeg command
	@$(bin)/python -m bench.transcoder $(ARGS)

bench-streams: $(can_test) ## Measure where a stream of NATS bends, and what several are worth
	@$(bin)/python -m bench.streams $(ARGS)

bench-health: $(can_test) ## Measure how soon the gateway answers beside long talks
	@$(bin)/python -m bench.health $(ARGS)

bench-flood: $(can_test) ## Measure how quick /healthz is, idle and under 64 large uploads
	@$(bin)/python -m bench.flood $(ARGS)

demo-model: $(can_train) programs ## Train the demo model anew, over an hour on one core; ARGS="--help" tells more
	@$(can_train)/bin/python -m tools.train_demo_model $(ARGS)

# The union first: it constrains the others, so that a package has one version everywhere.
resolve = $(bin)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	--python-version 3.11 $(ARGS)
compile = $(resolve) pyproject.toml
lock: $(bin)/uv ## Lock the dependencies of pyproject.toml; ARGS=--upgrade takes newer versions
	$(compile) --all-extras --group laptop --group test --group lint --group build \
		--output-file tests/requirements.txt
	$(compile) $(SERVICES:%=--extra %) --extra cli --group laptop --group build \
		--constraint tests/requirements.txt --output-file laptop/requirements.txt
	@set -e; for service in $(SERVICES); do set -x; $(compile) --extra $$service \
		--constraint tests/requirements.txt --output-file services/$$service/requirements.txt; \
		{ set +x; } 2>/dev/null; done
	$(compile) --extra transcriber --group demo-model \
		--constraint tests/requirements.txt --output-file tools/train_demo_model/requirements.txt
	$(resolve) --group build --constraint tests/requirements.txt --output-file services/requirements-build.txt
	$(resolve) --group cuda --output-file services/transcriber/requirements-cuda.txt
	$(resolve) --group peer --output-file bench/peer/requirements.txt
	$(resolve) --group audit --output-file tools/audit/requirements.txt

licences: $(can_test) ## Write docs/licences.md from the locks and what is installed
	@$(bin)/python -m tools.licences

# A report: neither what it finds nor a network that is not there is an error.
audit: $(can_audit) ## Tell what is known against our dependencies, Python's and the page's; needs the network
	@for lock in tests/requirements.txt services/transcriber/requirements-cuda.txt tools/train_demo_model/requirements.txt; do \
		echo; echo "## $$lock"; echo; \
		$(can_audit)/bin/python -m pip_audit --disable-pip --require-hashes --progress-spinner off --format markdown \
			--requirement $$lock || true; done
	@test ! -e services/gateway/web/package-lock.json || { echo; echo "## The page"; echo; npm audit --prefix services/gateway/web || true; }

charts: setup ## Run only the tests of the charts, the overlays and the images
	$(bin)/python -m pytest tests/charts tests/images $(ARGS)

chart-readme: $(can_test) ## Write the charts' README.md from their values
	@$(bin)/python charts/readme.py

images: web ## Build the images, with docker, podman or buildah; TARGETS="gateway transcriber-cuda" some
	@test -n "$(BUILDER)" || { echo "there is no docker, podman or buildah that works here" >&2; exit 1; }
	@set -e; for target in $(TARGETS); do set -x; \
		$(BUILDER) build $(if $(filter buildah,$(BUILDER)),--layers) --file services/Containerfile \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(ARGS) \
		--build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) \
		--target $$target --tag $(IMAGES)/$$target:$(TAG) .; \
		{ set +x; } 2>/dev/null; done

clean: ## Delete all that was installed, built and stored here
	rm -rf $(web)/node_modules $(web)/dist $(venv) .tools var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find cli decibus services laptop tests tools bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"decibus needs Python 3.11 or newer, and $(PYTHON) is" \
		"$$($(PYTHON) --version 2>/dev/null || echo missing): try make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo \
		"$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(venv) || { rm -rf $(venv); exit 1; }

# Without build isolation, so that what builds is locked and hashed like all the rest.
install = $(bin)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --use-pep517

$(can_run): | $(bin)/python
	@echo "installing what running needs into $(venv)"
	@$(install) --require-hashes --requirement laptop/requirements.txt
	@$(install) --no-deps --editable .
	@echo "compiling the kernels"
	@$(bin)/python -m services.analyzer.warm 2>$(venv)/warm.log || { cat $(venv)/warm.log >&2; exit 1; }
	@rm -f $(venv)/.can-* && touch $@

$(can_test): | $(can_run)
	@echo "installing what testing needs into $(venv)"
	@$(install) --require-hashes --requirement tests/requirements.txt
	@touch $@

# PyTorch stays out of .venv, where nothing may need it.
$(can_train):
	@rm -rf .tools/demo-model-* && $(PYTHON) -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement tools/train_demo_model/requirements.txt && mv $@.new $@

# Neither does anything of the peer come into .venv.
$(peer):
	@rm -rf .tools/peer-* && $(PYTHON) -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement bench/peer/requirements.txt && mv $@.new $@

# Apart from .venv: what looks for holes need not be what we run.
$(can_audit):
	@rm -rf .tools/audit-* && $(PYTHON) -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement tools/audit/requirements.txt && mv $@.new $@

install_web = test -e $(web_installed) || { echo "installing what the page is built with into $(web)/node_modules"; \
	( $(npm) ci ) && touch $(web_installed); }
$(web_installed):
	@$(install_web)

# A machine that cannot fetch what is needed still runs the pipeline; CI must have the page.
$(web_built):
	@{ $(install_web); } && echo "building the page" && ( $(npm) run build --silent -- --logLevel warn ) \
		&& touch $@ || { echo "decibus: the page could not be built: the gateway serves a plain one" >&2; test -z "$$CI"; }

# Without espeak-ng some tests are left out, and say so; without nats-server there is nothing to test.
programs: $(can_test)
	@$(bin)/python -m laptop.programs nats-server
	@$(bin)/python -m laptop.programs espeak-ng || true

# The nats command line, for the tests that use it as a user would.
$(go_tools):
	@mkdir -p .tools/bin && rm -f .tools/.go-*
	@if command -v go >/dev/null && cd tests/gotools && GOBIN="$(CURDIR)/.tools/bin" go install tool; \
		then touch "$(CURDIR)/$@"; \
		else echo "go is missing or cannot build tests/gotools: the tests of the nats command line are left out"; fi

# libflux is Rust: this pkg-config compiles it when Go asks for it.
influxd: ## Build InfluxDB 2 for the tests that need it, with go and cargo: a quarter of an hour
	@mkdir -p .tools/bin
	cd tests/influxd && export GOBIN="$(CURDIR)/.tools/bin" && \
		go install github.com/influxdata/pkg-config && \
		PKG_CONFIG="$$GOBIN/pkg-config" RUSTC_WRAPPER="$(CURDIR)/tests/influxd/rustc" \
		go install -tags sqlite_foreign_keys,sqlite_json github.com/influxdata/influxdb/v2/cmd/influxd

# Helm 3 and 4 have one name, so that each is built by itself.
chart_build = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$(CURDIR)/.tools/bin/
$(chart_tools):
	@mkdir -p .tools/bin && rm -f .tools/.charts-*
	@echo "building helm, kustomize and others for the tests of the charts: some minutes, once"
	@if command -v go >/dev/null && cd tests/charts/gotools \
		&& $(chart_build)helm" helm.sh/helm/v4/cmd/helm && $(chart_build)helm3" helm.sh/helm/v3/cmd/helm \
		&& $(chart_build)kustomize" sigs.k8s.io/kustomize/kustomize/v5 \
		&& $(chart_build)kubeconform" github.com/yannh/kubeconform/cmd/kubeconform \
		&& $(chart_build)compose-spec" github.com/compose-spec/compose-go/v2/cmd \
		&& cd score && $(chart_build)kube-score" github.com/zegl/kube-score/cmd/kube-score; \
		then touch "$(CURDIR)/$@"; \
		else echo "go is missing or cannot build tests/charts/gotools: the tests of the charts are left out"; fi

kube-linter: ## Build kube-linter for the test that needs it, with Go: some minutes
	cd tests/charts/gotools/linter && $(chart_build)kube-linter" golang.stackrox.io/kube-linter/cmd/kube-linter

$(bin)/uv: | $(can_test)
	@$(install) 'uv==$(uv_version)'
