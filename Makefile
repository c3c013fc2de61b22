# Needs python3 (3.11 or newer) and make; everything else is installed into .venv.
# Another interpreter: make PYTHON=python3.12 test.  Arguments for a command: make test ARGS="-k floor".

PYTHON ?= python3
ARGS =
SHORT =
# Whole clients and browsers, gateways that wait for lost orders, demos, campaigns and whole pages of the docs: with the
# other integrations, so that `make test` stays short.
LONG = $(addprefix tests/integration/gateway/test_,tls_clients.py stock_clients.py finding_out.py fence.py faults.py \
	several_keys.py status_page.py restarts.py audit.py) \
	$(addprefix tests/campaigns/test_,clocks.py crash_points.py disks.py fuzz.py hosts.py kills.py lost_replies.py stops.py) \
	$(addprefix tests/integration/,cli/test_demo.py doctor/test_causes.py test_life_cycle.py testing/test_plugin.py kraken/test_orders_once.py)
PRINT_VERSION = -c 'import sys; print("%d.%d" % sys.version_info[:2])'

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-integrations prove lint format docs bench bench-hosts clean stale

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

demo: .venv/.ready $(if $(findstring --hosts,$(ARGS)),.venv/.hosts)  ## see krakenonce at work against a fake Kraken on this machine; with ARGS=--hosts on several hosts
	@.venv/bin/krakenonce demo $(ARGS)

# Tests, campaigns and benchmarks start hundreds of interpreters: without bytecode, each would compile everything again.
test: .venv/.ready  ## run the tests, two at a time on each core, as many of them wait
	@PYTHONDONTWRITEBYTECODE= .venv/bin/pytest -n $$((2 * `getconf _NPROCESSORS_ONLN`)) --dist worksteal \
		$(addprefix --ignore=,$(LONG)) $(ARGS)

# One at a time on each core: these programs bring many processes of their own, and some of them are timed.
test-integrations: .venv/.integrations .venv/.bots  ## test krakenonce in uWSGI, gevent, Celery, freqtrade and others, and on PostgreSQL, Valkey and etcd, which it installs
	@PYTHONDONTWRITEBYTECODE= .venv/bin/pytest tests/runtimes tests/hosts $(LONG) -n `getconf _NPROCESSORS_ONLN` --dist worksteal $(ARGS)

prove: .venv/.integrations  ## try to break every promise, 30 minutes; 10 with SHORT=1
	@PYTHONDONTWRITEBYTECODE= .venv/bin/python -m prove $(if $(SHORT),--short) $(ARGS)

lint: .venv/.ready  ## check style, format and types
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/pyright

format: .venv/.ready  ## put the code into the project's format
	@.venv/bin/ruff check --fix-only --quiet
	@.venv/bin/ruff format

docs: .venv/.ready  ## build the documentation into site/, with all links checked
	@.venv/bin/python -m docs

bench: .venv/.ready  ## measure speed on this machine
	@PYTHONDONTWRITEBYTECODE= .venv/bin/python -m bench $(ARGS)

bench-hosts: .venv/.integrations  ## measure what a state costs that hosts share, four minutes; shortly with ARGS=--short
	@PYTHONDONTWRITEBYTECODE= .venv/bin/python -m bench.hosts $(ARGS)

# Not data/: it may hold counters, and a lost counter is a nonce handed out twice.
clean:  ## remove .venv, caches and build results
	@rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist mutants site
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +

# .venv/.ready is written last and says which Python made .venv, and where. When that is no longer so (Python was
# upgraded, the folder was moved, PYTHON= asks for another version), .venv is made anew.
IS := $(shell .venv/bin/python $(PRINT_VERSION) 2>/dev/null)
ASKED := $(if $(filter file,$(origin PYTHON)),$(IS),$(shell $(PYTHON) $(PRINT_VERSION) 2>/dev/null))
MADE := $(shell cat .venv/.ready 2>/dev/null)

SOUND :=
ifeq ($(MADE),$(IS) $(CURDIR))
ifeq ($(ASKED),$(IS))
SOUND := yes
endif
endif
ifndef SOUND
.venv/.ready: stale
endif

.venv/.ready: pyproject.toml constraints.txt src/krakenonce/_version.py tests/integration/gateway/node/package.json
	@fail() { echo "$$*" >&2; exit 1; }; \
	version=`$(PYTHON) $(PRINT_VERSION) 2>/dev/null`; \
	case "$(SOUND)$$version" in \
	    yes*) ;; \
	    "") fail "$(PYTHON) does not run: install Python 3.11 or newer, or name one: make PYTHON=python3.12 ...";; \
	    2.*|3.[0-9]|3.10) fail "krakenonce needs Python 3.11 or newer, and $(PYTHON) is $$version:" \
	        "name a newer one: make PYTHON=python3.12 ...";; \
	    *)  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || fail "$(PYTHON) cannot make virtual environments:" \
	        "install its venv module (Debian: apt install python3-venv, or python$$version-venv)";; \
	esac; \
	[ ! -L .venv ] || fail ".venv is a symbolic link, and what it leads to would be emptied: remove the link"; \
	echo "setting up .venv (once, about a minute) ..."; \
	rm -f .venv/.ready; \
	test "$(SOUND)" || why=`$(PYTHON) -m venv --clear .venv 2>&1` || \
	    fail "could not make .venv: `echo "$$why" | tail -n 1`"; \
	{ .venv/bin/python -m pip install -c constraints.txt --upgrade pip && \
	  .venv/bin/python -m pip install -c constraints.txt -e '.[async,demo,gateway]' --group dev --group docs; \
	} >.venv/install.log 2>&1 || \
	    fail "could not install the packages: is the package index reachable? details in .venv/install.log"; \
	mkdir -p .venv/node && cp tests/integration/gateway/node/package.json .venv/node/; \
	npm install --prefix .venv/node --no-package-lock --no-audit --no-fund >>.venv/install.log 2>&1 || \
	    echo "no npm, or no package of its: tests with clients under Node.js will be skipped"; \
	echo "`.venv/bin/python $(PRINT_VERSION)` $(CURDIR)" >.venv/.ready

.venv/.hosts: .venv/.ready pyproject.toml
	@.venv/bin/python -m pip install -c constraints.txt --group hosts >.venv/hosts.log 2>&1 || { \
	    echo "could not install PostgreSQL: is the package index reachable? details in .venv/hosts.log" >&2; exit 1; }
	@touch .venv/.hosts

.venv/.integrations: .venv/.ready pyproject.toml
	@fail() { echo "$$*" >&2; exit 1; }; \
	echo "installing uWSGI, gevent, Celery and others into .venv (once, about a minute) ..."; \
	.venv/bin/python -m pip install -c constraints.txt --group integrations >.venv/integrations.log 2>&1 || \
	    fail "could not install them: is the package index reachable, and are there a C compiler and Python's headers" \
	        "(Debian: apt install gcc python3-dev) to build uWSGI? details in .venv/integrations.log"; \
	touch .venv/.integrations

# Bots and clients need other versions than we do, so they have an environment of their own. The group clients-alone is
# installed without what it asks for: see pyproject.toml.
.venv/.bots: .venv/.ready pyproject.toml constraints.txt
	@echo "installing freqtrade and other bots into .venv/bots (once, about half a minute) ..."; \
	pip=".venv/bin/python -m pip --python .venv/bots/bin/python install"; \
	{ .venv/bin/python -m venv --clear --without-pip .venv/bots && \
	  $$pip -c constraints.txt --group bots && \
	  $$pip --no-deps --ignore-requires-python --group clients-alone; \
	} >.venv/bots.log 2>&1 && touch .venv/.bots || \
	    echo "not all of them can be had: tests with them will be skipped; details in .venv/bots.log"
