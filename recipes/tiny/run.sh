#!/usr/bin/env bash
# The whole road on the bundled sample: vocabulary, training, Tatoeba, mining. Minutes on two cores.
# Use: recipes/tiny/run.sh [output folder, default runs/tiny]
# A stopped run goes on where it was; delete the folder to start anew.
set -euo pipefail
here=$(dirname "$0")
out=${1:-$here/../../runs/tiny}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "1/4 vocabulary: 20,000 word pieces from ten languages"
[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$here/data/pairs.parquet" --out "$out/vocab" --vocab-size 20000 --algorithm bpe

say "2/4 training: translation ranking with additive margin softmax"
labse train "$here/config.toml" --vocab "$out/vocab" --out "$out/run"

say "3/4 Tatoeba: is the nearest sentence of the other language the translation?"
labse evaluate tatoeba "$here/data/tatoeba" --model "$out/run/model"

say "4/4 mining: 200 pairs are hidden in two shuffled files of 500 lines"
labse mine "$here/data/lines.deu.txt" "$here/data/lines.eng.txt" \
  --model "$out/run/model" --min-score 1.2 --out "$out/mined.tsv"
head -n 12 "$out/mined.tsv"
cut -f 2,3 "$out/mined.tsv" | sort >"$out/found.txt"
right=$(sort "$here/data/hidden.tsv" | comm -12 - "$out/found.txt" | wc -l)
echo "... found $(wc -l <"$out/mined.tsv") pairs, $right of them among the 200 hidden; all: $out/mined.tsv"
