#!/usr/bin/env bash
# Layers above the default model on a machine with a GPU, for a number of seconds.
# Use: recipes/default/device.sh PAIRS_FOLDER SECONDS [LAYERS, default 6] [--set KEY=VALUE ...]
#
# PAIRS_FOLDER holds pairs with near-misses (near_misses.py). Where Python packages are missing, their wheels are taken
# from PAIRS_FOLDER/wheels; nothing is fetched. A short run measures the pace, then a run as long as the rest of the
# seconds allow trains, with a rate that falls to 0 at its end. Each minute the layers, without the table, go to OUT
# (an environment variable; default runs/default/device) in parts of at most 15 MiB, eight files with the log at most.
# MODEL (default: the one that ships) is the bag, PYTHON the interpreter, WORK an empty folder for the runs.
#
# Afterwards, anywhere: python recipes/default/layers.py join default OUT MODEL_FOLDER, then labse evaluate.
# In int8 the layers are within 8 MB: up to four of the usual inner size, or six of half of it, which more than four have.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
pairs=$(cd "$1" && pwd) seconds=$2 layers=${3:-6}
shift $(($# < 3 ? $# : 3))
python=${PYTHON:-python3}
out=${OUT:-$here/../../runs/default/device}
work=${WORK:-$(mktemp -d)}
mkdir -p "$out" "$work"
rest() { echo $((seconds - SECONDS)); }

# What is not there comes from the wheels that were brought.
export PYTHONPATH=$here/../../src:$work/site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
needed="numpy, pyarrow, pydantic, safetensors, tokenizers, torch, typer, zstandard"
if ! "$python" -c "import $needed" 2>/dev/null; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$pairs"/wheels/*.whl
  "$python" -c "import $needed"
fi

# The configuration lies beside the pairs; a GPU computes in bfloat16 and keeps more of a batch.
cp "$here/context.toml" "$work/context.toml"
files=$(find "$pairs" -maxdepth 1 -name '*.parquet' | sort | sed "s/.*/'&'/" | paste -sd,)
settings=(--set "data.pairs=[$files]" --set "model.bert.num_hidden_layers=$layers" --set train.log_every=10
  --set "model.bert.intermediate_size=$((layers > 4 ? 768 : 1536))")
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  settings+=(--set 'train.precision="bfloat16"' --set train.global_batch_size=4096 --set train.micro_batch_size=1024
    --set train.lr=1e-3)
fi
settings+=("$@")
train() {
  timeout -k 60 "$(rest)" "$python" -m labse train "$work/context.toml" --init "${MODEL:-default}" --workers "$(nproc)" --memory 4GB \
    "${settings[@]}" "${@:2}" --out "$work/$1" 2>&1 | tee -a "$out/train.log"
}

# Forty steps say how many there is time for; the tokens that they made are used again.
train pace --set train.train_steps=40 --set train.warmup_steps=1 --set train.checkpoint_every=40
pace=$("$python" - "$work/pace" <<'EOF'
import json, sys
from pathlib import Path

run = Path(sys.argv[1])
rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
pace = [row["pairs_per_second"] for row in rows if "pairs_per_second" in row][-1]
state = json.loads(next((run / "checkpoints").glob("step-*/state.json")).read_text())
print(pace / state["config"]["train"]["global_batch_size"])
EOF
)
mkdir -p "$work/run"
for cache in tokens hard_negatives; do
  [ ! -d "$work/pace/$cache" ] || [ -d "$work/run/$cache" ] || mv "$work/pace/$cache" "$work/run/"
done
rm -rf "$work/pace"

# As many steps as the rest allows, less a tenth for checkpoints and the start; at most 45 s for the end.
reserve=$((seconds / 10 < 45 ? seconds / 10 : 45))
steps=$(awk -v s=$(($(rest) - reserve)) -v p="$pace" 'BEGIN { n = int(0.9 * s * p); print (n > 1 ? n : 1) }')
minute=$(awk -v p="$pace" 'BEGIN { n = int(60 * p); print (n > 1 ? n : 1) }')
echo "$pace steps a second: $steps steps, a checkpoint every $minute" | tee -a "$out/train.log"

# Each minute the last checkpoint comes home. A run that is too slow is asked to stop, which makes one more.
keep() {
  "$python" "$here/layers.py" pack "$work/run" "$out" && cp "$work/run/metrics.jsonl" "$out/metrics.jsonl"
}
while sleep 60; do keep || true; done &
keeper=$!
trap 'kill $keeper 2>/dev/null || true' EXIT
train run --set train.train_steps="$steps" --set train.warmup_steps=$((steps / 20 + 1)) \
  --set train.checkpoint_every="$minute" || true
kill $keeper 2>/dev/null || true
keep
