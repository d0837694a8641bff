#!/usr/bin/env bash
# The default model, from the folder of Parquet files to a model folder.
# Use: recipes/default/run.sh DATA_FOLDER EVAL_FOLDER [output folder, default runs/default]
# A stopped run goes on where it was. About 15 GiB of memory; time in docs/experiments.md.
set -euo pipefail
# Without these, glibc gives torch's large buffers back to the kernel at each step and gets them again
# page by page: 15 to 30 % of the processor time was the kernel's, 3 % with them.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592
here=$(cd "$(dirname "$0")" && pwd)
data=$1 evaluation=$2 out=${3:-$here/../../runs/default}

[ -f "$out/report.json" ] || python "$here/prepare.py" "$data" "$evaluation" "$out"

[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$out"/pairs/*.parquet --out "$out/vocab" --vocab-size 140000 \
    --smoothing-exponent 0.7 --algorithm bpe

pairs=$(printf "'%s'," "$out"/pairs/*.parquet)
labse train "$here/config.toml" --vocab "$out/vocab" --out "$out/run" \
  --set "data.pairs=[$pairs]" --evaluate "$out/validation"

labse evaluate tatoeba "$evaluation/tatoeba" --model "$out/run/model" --out "$out/tatoeba.json"
