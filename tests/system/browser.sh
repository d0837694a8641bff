#!/usr/bin/env bash
# Installs Playwright, and a Chromium where there is none: Debian's as root, else Playwright's own.
# Where neither can be had it says so, and the tests of the page are skipped.
# Use: tests/system/browser.sh .venv/bin
set -euo pipefail
bin=$1
root=$(cd "$(dirname "$0")/../.." && pwd)

"$bin/python" -c 'import playwright' 2>/dev/null ||
  "$bin/pip" install --quiet --constraint "$root/constraints.txt" --group "$root/pyproject.toml:browser" || true

has_chromium() {
  command -v chromium >/dev/null || "$bin/python" - <<'PYTHON' 2>/dev/null
import os
from playwright.sync_api import sync_playwright
with sync_playwright() as run:
    raise SystemExit(not os.path.exists(run.chromium.executable_path))
PYTHON
}

install_chromium() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium
  else
    "$bin/playwright" install chromium
  fi
}

has_chromium && exit
log=$(mktemp)
timeout 300 bash -c "$(declare -f install_chromium); bin='$bin'; install_chromium" >"$log" 2>&1 || tail -n 3 "$log" >&2
has_chromium || echo "browser.sh: no Chromium could be installed; the tests of the page will be skipped" >&2
