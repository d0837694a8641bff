#!/usr/bin/env bash
# Builds the wheel and tries it outside the checkout, in an environment that has only its base needs.
# Use: tests/system/wheel.sh [python3]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/.venv/bin/python" -m build --wheel --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 ||
  { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --constraint "$root/constraints.txt" "$work"/dist/*.whl
cd "$work"
venv/bin/python - <<'PYTHON'
import importlib.util
import sys

import labse

assert importlib.util.find_spec("torch") is None, "the base install must not bring torch"
assert "site-packages" in labse.__file__, labse.__file__
names = [name for name in labse.__all__ if getattr(labse, name) is not None]
print(f"labse {labse.__version__} from the wheel, without torch: {', '.join(names)}")
print(f"modules loaded: {len(sys.modules)}")
PYTHON
venv/bin/labse --version
venv/bin/labse --help >/dev/null
venv/bin/labse doctor
printf 'Guten Morgen.\nDas ist ein Hund.\n' >de.txt
printf 'That is a dog.\nGood morning.\n' >en.txt
venv/bin/labse mine de.txt en.txt --margin absolute # With the model in the wheel, which brings no torch.
size=$(stat -c %s dist/*.whl)
[ "$size" -le 64000000 ] || { echo "the wheel has $size bytes, more than 64 MB"; exit 1; }
echo "wheel: $(du -h dist/*.whl | cut -f1), environment: $(du -sh venv | cut -f1)"
