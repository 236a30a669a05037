# What a person does with this repository. Each target does all of its own set-up.

PYTHON ?= python3
VENV := .venv/bin
# The lab and apt need root; without sudo the lab says so itself.
SUDO := $(shell [ "$$(uname)" = Linux ] && [ "$$(id -u)" != 0 ] && command -v sudo)

# The fleet that `make integration` and `make performance` ask; without one, the lab.
INVENTORY ?=
# The lab needs root; a fleet of its own is asked with the keys of who asks.
AS_ROOT = $(if $(INVENTORY),,$(SUDO) $(if $(SUDO),env CI=$(CI)))
SUITE = $(VENV)/python -m pytest $(if $(INVENTORY),--inventory=$(INVENTORY)) --suite $@

.PHONY: help demo demo-down show test check unit integration performance security sbom coverage mutants proofs fast \
  docs format golden bench clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | column -t -s "$$(printf '\t')"


demo: .venv/ready  ## Boot a fleet of six real nodes on this machine and deploy it
	@$(SUDO) $(VENV)/python -m lab check
	@$(SUDO) $(VENV)/python -m lab up
	@$(VENV)/pyinfra -y inventory/lab.py deploy.py
	@$(VENV)/python -m tools.summary

demo-down: .venv/ready  ## Take the lab down, without a trace
	@$(SUDO) $(VENV)/python -m lab down

show: .venv/ready  ## Print what would land on each node, with no node at all
	@$(VENV)/python -m tools.show

test: .venv/ready .venv/browser  ## The tests; the lab's where this machine can run it
	@$(SUDO) $(if $(SUDO),env CI=$(CI)) $(VENV)/python -m pytest -v -m "not proof"

check: .venv/ready .venv/browser  ## The tests that need no node
	@$(VENV)/python -m pytest -m "not lab and not target"

unit: .venv/ready .venv/browser  ## The suite that needs no node, in 30 minutes at most; the flake's checks where Nix is
	@$(VENV)/python -m pytest --suite unit
	@if command -v nix >/dev/null; then nix flake check; else \
	  echo "Not checked: the flake. There is no Nix here; the integration suite checks it on a node of the lab"; fi

integration: .venv/ready .venv/browser  ## On the lab, or with INVENTORY=inventory/prod.py on a real fleet, which is not changed; 60 minutes
	@$(AS_ROOT) $(SUITE) -v

performance: .venv/ready  ## As integration; 120 minutes
	@$(AS_ROOT) $(SUITE) -v -s

security: .venv/ready  ## Look for what makes the fleet unsafe: code, dependencies, secrets, workflows; then the suite; 45 minutes
	@$(VENV)/python -m tools.security
	@$(SUDO) $(if $(SUDO),env CI=$(CI)) $(VENV)/python -m pytest --suite $@

sbom: .venv/ready  ## Write the software bill of materials to build/sbom
	@$(VENV)/python -m tools.sbom $(if $(INVENTORY),--inventory $(INVENTORY) --ask)

coverage: .venv/ready  ## What the tests run that need no node: lines and branches, with a report in build/coverage
	@mkdir -p build && rm -f build/.coverage*
	@$(VENV)/coverage run -m pytest -q tests/fleet tests/facts tests/ipex_node tests/lab_unit tests/test_*.py --ignore tests/test_simulator.py
	@$(VENV)/coverage combine --quiet && $(VENV)/coverage html --quiet && $(VENV)/coverage report

mutants: .venv/ready  ## Change the transaction, the wave plan and the loader, and see whether tests notice (an hour)
	@nice $(VENV)/python -m tools.mutants

proofs: .venv/ready .venv/pebble  ## Rollouts and ill engines, under load and faults, on the lab's nodes (half an hour)
	@$(SUDO) $(VENV)/python -m pytest -v -s -m proof

fast: .venv/ready  ## The pure tests and the fake fleet's, in seconds
	@$(VENV)/python -m pytest -q tests/fleet tests/facts tests/test_deploy.py tests/test_tasks.py

docs: .venv/ready  ## Build the documentation as a site in build/site, and say how long that took
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict --clean

format: .venv/ready  ## Format the code
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .

golden: .venv/ready  ## Rewrite tests/golden from the example fleet, tests/recorded from the kinds of hardware
	@$(VENV)/python -m tools.golden
	@$(VENV)/python -m tools.recorded

bench: .venv/ready  ## Measure, print a table, write build/bench.json
	@$(SUDO) $(VENV)/python -m tools.bench

clean:  ## Remove what these targets made in this folder
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# For the front page's tests: a browser without a desktop, where apt has one (Debian). Without, they are skipped.
.venv/browser: .venv/ready
	@{ for name in chromium-headless-shell chromium google-chrome; do command -v $$name >/dev/null && break; done || { \
	  echo "Installing a browser for the front page's tests"; $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core >/dev/null; \
	}; } && touch $@ || echo "There is no browser to install: the front page is not tested in one"

# For the proof of ACME: an authority to ask.
.venv/pebble: .venv/ready
	@command -v pebble >/dev/null || { \
	  echo "Installing an ACME authority for the proofs"; $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq --no-install-recommends pebble openssl >/dev/null; \
	}
	@touch $@

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends python3-venv; }
	@echo "Setting up .venv from requirements.lock"
	@$(PYTHON) -m venv .venv
	@$(VENV)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@
