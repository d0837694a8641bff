#!/usr/bin/env bash
# What a release must pass: builds wheel and sdist into dist/, installs them in empty environments, and prints sizes.
# Use: tests/system/release.sh [python3 ...], one argument for each Python to try
# Takes long, and a few GB of room: the extras train, mteb and peers bring torch.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -gt 0 ] || set -- python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

echo "== build, metadata, licence files"
"$1" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build twine cyclonedx-bom
rm -rf dist && mkdir -p build && "$work/tools/bin/python" -m build --outdir dist . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$work/tools/bin/twine" check --strict dist/*
wheel=$(ls dist/*.whl) sdist=$(ls dist/*.tar.gz)
"$1" -m zipfile -l "$wheel" >"$work/names"
for name in licenses/LICENSE licenses/NOTICE labse/py.typed models/default/manifest.json; do
  grep -q "$name" "$work/names" || { echo "$wheel: $name is missing"; exit 1; }
done
size=$(stat -c %s "$wheel")
echo "wheel: $size bytes"
[ "$size" -le 66000000 ] || { echo "$wheel has more than 66 MB"; exit 1; }

# Installs $2... in an empty environment of Python $1, with $constraint, and finds a translation there.
try() {
  local python=$1; shift
  rm -rf "$work/venv" && "$python" -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --constraint "$constraint" "$@"
  (cd "$work" && printf 'Guten Morgen.\n' >de.txt && printf 'It rains.\nGood morning.\n' >en.txt
   venv/bin/labse doctor >/dev/null && venv/bin/labse mine de.txt en.txt --margin absolute 2>/dev/null | grep -q 'Good morning')
}

constraint=constraints.txt
for python in "$@"; do
  echo "== base install, $("$python" --version)"
  try "$python" "$wheel"
  used=$(du -sm "$work/venv" | cut -f1)
  echo "environment: $used MB"
  [ "$used" -le 420 ] || { echo "the base install takes $used MB, more than 420"; exit 1; }
  "$work/tools/bin/cyclonedx-py" environment "$work/venv" --output-file build/sbom.json >/dev/null
  try "$python" "$sdist"
done

echo "== lowest versions of what the base install asks for"
"$1" - >"$work/lowest.txt" <<'PYTHON'
import tomllib
for need in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]:
    print(need.replace(">=", "=="))
PYTHON
tr '\n' ' ' <"$work/lowest.txt"; echo
constraint=$work/lowest.txt
try "$1" "$wheel"

echo "== each extra, then all of them"
constraint=constraints.txt
extras=$("$1" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"])')
for extra in $extras "${extras// /,}"; do
  try "$1" "$wheel[$extra]"
  echo "labse[$extra]: $(du -sm "$work/venv" | cut -f1) MB"
done
ls -l dist build/sbom.json # The list of parts is no part of an upload, so it lies elsewhere.
