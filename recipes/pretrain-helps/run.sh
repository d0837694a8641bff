#!/usr/bin/env bash
# Does pre-training help? The same dual encoder from scratch and from a pre-trained, stacked BERT,
# at equal steps and at equal cost, with all of the pairs and with a quarter of them.
# Use: recipes/pretrain-helps/run.sh DATA_FOLDER EVAL_FOLDER [output folder, default runs/pretrain-helps]
# A stopped run goes on where it was. Two cores with bf16: about 45 minutes. Result: docs/experiments.md.
set -euo pipefail
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 # As in recipes/default/run.sh.
here=$(cd "$(dirname "$0")" && pwd)
best_pretrained=1e-3 best_scratch=1e-3 # Of the three rates below.
data=$1 evaluation=$2 out=${3:-$here/../../runs/pretrain-helps}

[ -f "$out/report.json" ] || python "$here/prepare.py" "$data" "$evaluation" "$out"
cp "$here"/*.toml "$out"
[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$out/pairs-full.parquet" --out "$out/vocab" --vocab-size 16000 --algorithm bpe \
    --smoothing-exponent 0.7
mkdir -p "$out/tatoeba" "$out/reports" # The sets of the ten languages alone, for the curves.
for lang in ara cmn fra hin ind mar por rus spa swh; do
  cp "$evaluation/tatoeba/tatoeba.$lang-eng".* "$out/tatoeba"
done

# --- Pre-training: 800, 500 and 400 steps on 1, 2 and 4 layers ---
labse pretrain "$out/pretrain.toml" --vocab "$out/vocab" --out "$out/stacked"

# --- Dual encoders: name, pairs, steps, rate, start ---
# A pre-training costs as much as 470 of these steps, in seconds of a quiet machine.
dual() {
  local name=$1 pairs=$2 steps=$3 rate=$4
  shift 4
  labse train "$out/dual.toml" --out "$out/$name" --evaluate "$out/tatoeba" \
    --set "data.pairs=['pairs-$pairs.parquet']" --set "train.train_steps=$steps" \
    --set "train.lr=$rate" "$@"
}
for rate in 1e-3 3e-4 3e-3; do # Either start gets the best of three rates.
  dual "quarter-pretrained-$rate" quarter 250 "$rate" --init "$out/stacked/model"
  dual "quarter-scratch-$rate" quarter 250 "$rate" --vocab "$out/vocab"
done
dual quarter-scratch-equal-cost quarter 720 "$best_scratch" --vocab "$out/vocab"
dual full-pretrained full 250 "$best_pretrained" --init "$out/stacked/model"
dual full-scratch full 250 "$best_scratch" --vocab "$out/vocab"
dual full-scratch-equal-cost full 720 "$best_scratch" --vocab "$out/vocab"

# --- The same pre-training cost without stacking: four layers from the first step ---
labse pretrain "$out/pretrain.toml" --vocab "$out/vocab" --out "$out/unstacked" \
  --set train.stage_steps=[1036]

# --- Scores; those of the BERT alone are before any ranking ---
for model in stacked quarter-{pretrained,scratch}-{3e-4,1e-3,3e-3} full-{pretrained,scratch} \
  {quarter,full}-scratch-equal-cost; do
  labse evaluate tatoeba "$out/tatoeba" --model "$out/$model/model" --out "$out/reports/$model-tatoeba.json"
  labse evaluate retrieval "$evaluation/tico19" --model "$out/$model/model" \
    --langs eng,ar,es_LA,fr,hi,id,mr,pt_BR,ru,sw,zh --out "$out/reports/$model-tico19.json"
done
