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

# Stage 1: a cased bag of 140,000 pieces, from scratch.
first=$out/stage1
python "$here/prepare.py" "$data" "$out/fetched" "$evaluation" "$first"

[ -f "$first/vocab/manifest.json" ] ||
  labse vocab "$first"/pairs/*.parquet --out "$first/vocab" --vocab-size 140000 \
    --smoothing-exponent 0.7 --algorithm bpe

# The configuration lies beside the data: what is recorded are paths that others have, too.
cp "$here/config.toml" "$first/config.toml"
pairs=$(cd "$first" && printf "'%s'," pairs/*.parquet)
labse train "$first/config.toml" --vocab "$first/vocab" --out "$first/run" \
  --set "data.pairs=[$pairs]" --evaluate "$first/validation"
labse export "$first/run/model" "$first/int8" --storage int8 --tatoeba "$evaluation/tatoeba"

# Stage 2: more data, an uncased vocabulary of twice the size, the rows of stage 1 carried over.
python "$here/prepare.py" "$data" "$data/more" "$out/fetched" "$evaluation" "$out"
[ -d "$out/drawn" ] || { python "$here/draw.py" "$out/pairs" "$out/drawing" 2000 && mv "$out/drawing" "$out/drawn"; }
[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$out"/drawn/*.parquet --counts "$out/counts" --out "$out/vocab" --vocab-size 280000 \
    --smoothing-exponent 0.75 --algorithm bpe --uncased --memory 6GB
[ -f "$out/warm/manifest.json" ] ||
  python "$here/warm_start.py" "$first/int8" "$out/vocab" "$out/warm" "$out/counts"

cp "$here/continue.toml" "$out/continue.toml"
pairs=$(cd "$out" && printf "'%s'," drawn/*.parquet)
labse train "$out/continue.toml" --vocab "$out/vocab" --init "$out/warm" --out "$out/stage2" \
  --set "data.pairs=[$pairs]" --evaluate "$out/validation"

# Stage 3: four times as many pairs of each language of each source.
[ -d "$out/drawn3" ] || { python "$here/draw.py" "$out/pairs" "$out/drawing" 8000 && mv "$out/drawing" "$out/drawn3"; }
pairs=$(cd "$out" && printf "'%s'," drawn3/*.parquet)
labse train "$out/continue.toml" --vocab "$out/vocab" --init "$out/stage2/model" --out "$out/stage3" \
  --set "data.pairs=[$pairs]" --evaluate "$out/validation" --set train.seed=3 --set train.embedding_lr=0.05 \
  --set train.train_steps=7000 --set train.round_rows_after=5000

# Stage 4: all pairs. The shipped model's was stopped at step 9,017, when more steps gained next to nothing.
pairs=$(cd "$out" && printf "'%s'," pairs/*.parquet)
labse train "$out/continue.toml" --vocab "$out/vocab" --init "$out/stage3/model" --out "$out/stage4" \
  --set "data.pairs=[$pairs]" --evaluate "$out/validation" --set train.seed=4 --set train.embedding_lr=0.05 \
  --set train.train_steps=12000 --set train.round_rows_after=8000

# Stage 5: beside them a part of each language and source with near-misses, rounded all the way.
[ -d "$out/near" ] || { python "$here/draw.py" "$out/pairs" "$out/drawing" 500 &&
  python "$here/near_misses.py" "$out/drawing" "$out/nearing" && rm -r "$out/drawing" && mv "$out/nearing" "$out/near"; }
pairs=$(cd "$out" && printf "'%s'," near/*.parquet pairs/*.parquet)
last=(--set "data.pairs=[$pairs]" --evaluate "$out/validation" --set data.hard_negatives=1
  --set train.embedding_lr=0.025 --set train.lr=5e-4 --set train.warmup_steps=50)
labse train "$out/continue.toml" --vocab "$out/vocab" --init "$out/stage4/model" --out "$out/stage5" \
  "${last[@]}" --set train.seed=5 --set train.train_steps=2400 --set train.round_rows_after=0

# Stage 6: rows in float32 again. The shipped model's vocabulary was learnt before the normalizer folded Arabic, and is
# folded here; one that is learnt today stays as it is.
[ -f "$out/folded/manifest.json" ] || python "$here/fold_vocab.py" "$out/vocab" "$out/folded"
[ -f "$out/warm6/manifest.json" ] ||
  python "$here/warm_start.py" "$out/stage5/model" "$out/folded" "$out/warm6" "$out/counts"
labse train "$out/continue.toml" --vocab "$out/folded" --init "$out/warm6" --out "$out/run" \
  "${last[@]}" --set train.seed=7 --set train.train_steps=2000

# What ships: rows of 4 bits, refused if they lose more than a point. Scores are of these files.
labse export "$out/run/model" "$out/int4" --storage int4 --tatoeba "$evaluation/tatoeba" \
  --min-cosine 0.9 --max-loss 0.01
mkdir -p "$out/reports"
labse evaluate tatoeba "$evaluation/tatoeba" --model "$out/int4" --out "$out/reports/tatoeba"
labse evaluate retrieval "$evaluation/tico19" --model "$out/int4" --out "$out/reports/tico19"
python "$here/package.py" "$out" "$out/default" "$out/model-card.md"
