#!/usr/bin/env bash
# The default model, from the folder of Parquet files to a model folder.
# Use: recipes/default/run.sh DATA_FOLDER EVAL_FOLDER [output folder, default runs/default]
# A stopped run goes on where it was. About 15 GiB of memory; time in docs/experiments.md. The model to ship is
# OUT/default; copied to src/labse/models/default it is what `labse` loads when no model is named.
set -euo pipefail
# Without these, glibc gives torch's large buffers back to the kernel at each step and gets them again
# page by page: 15 to 30 % of the processor time was the kernel's, 3 % with them.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592
here=$(cd "$(dirname "$0")" && pwd)
data=$1 evaluation=$2 out=${3:-$here/../../runs/default}

# Short texts in 300 languages beside the data, 200 MB to fetch, once.
[ -f "$out/fetched/fetched.json" ] || python "$here/fetch.py" "$out/fetched"

python "$here/prepare.py" "$data" "$out/fetched" "$evaluation" "$out"

[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$out"/pairs/*.parquet --out "$out/vocab" --vocab-size 140000 \
    --smoothing-exponent 0.7 --algorithm bpe

# The configuration lies beside the data: what is recorded are paths that others have, too.
cp "$here/config.toml" "$out/config.toml"
pairs=$(cd "$out" && printf "'%s'," pairs/*.parquet)
labse train "$out/config.toml" --vocab "$out/vocab" --out "$out/run" \
  --set "data.pairs=[$pairs]" --evaluate "$out/validation"

# What ships: int8 rows, refused if they lose more than 0.3 points; scores are of these files.
labse export "$out/run/model" "$out/int8" --storage int8 --tatoeba "$evaluation/tatoeba"
mkdir -p "$out/reports"
labse evaluate tatoeba "$evaluation/tatoeba" --model "$out/int8" --out "$out/reports/tatoeba"
labse evaluate retrieval "$evaluation/tico19" --model "$out/int8" --out "$out/reports/tico19"
python "$here/package.py" "$out" "$out/default" "$out/model-card.md"
