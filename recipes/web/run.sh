#!/usr/bin/env bash
# From the pages of a site to bitext. Without arguments: the small site beside this file, in seconds.
#
#   recipes/web/run.sh
#   recipes/web/run.sh CRAWL.warc.gz de,en runs/web
set -euo pipefail
here=$(dirname "$0")
crawl=${1:-$here/site} langs=${2:-de,en} out=${3:-runs/web-recipe}
base_url=()
if [ -d "$crawl" ]; then base_url=(--base-url https://example.com); fi

echo "== 1/4 pages: sentences, links and the language of each"
labse web pages "$crawl" "${base_url[@]}" --out "$out/pages"

echo "== 2/4 document pairs: links, addresses and texts vote"
labse web pairs "$out/pages" --langs "$langs" --out "$out/pairs"

echo "== 3/4 sentence pairs"
labse web align "$out/pages" "$out/pairs" --out "$out/beads"

echo "== 4/4 a release: each pair once, with all addresses that it stands under"
labse web bitext "$out/beads" --pages "$out/pages" --pairs "$out/pairs" --out "$out/bitext.tmx"
cat "$out/bitext.card.md"
