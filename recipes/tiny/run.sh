#!/usr/bin/env bash
# The whole road on the bundled sample: vocabulary, training, Tatoeba, mining. Minutes on two cores.
# Use: recipes/tiny/run.sh [output folder, default runs/tiny]
# A stopped run goes on where it was; delete the folder to start anew.
set -euo pipefail
here=$(dirname "$0")
out=${1:-$here/../../runs/tiny}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "1/5 vocabulary: 20,000 word pieces from ten languages"
[ -f "$out/vocab/manifest.json" ] ||
  labse vocab "$here/data/pairs.parquet" --out "$out/vocab" --vocab-size 20000 --algorithm bpe

say "2/5 training: translation ranking with additive margin softmax"
labse train "$here/config.toml" --vocab "$out/vocab" --out "$out/run"

say "3/5 Tatoeba: is the nearest sentence of the other language the translation?"
labse evaluate tatoeba "$here/data/tatoeba" --model "$out/run/model"

say "4/5 mining: 200 pairs are hidden in two shuffled files of 500 lines"
mine() { # mine OUT [option ...]: the pairs found and how many of them are right
  labse mine "$here/data/lines.deu.txt" "$here/data/lines.eng.txt" --min-score 1.2 --out "$1" "${@:2}"
  tail -n +2 "$1" | cut -f 2,3 | sort >"$out/found.txt" # Without the header.
  right=$(sort "$here/data/hidden.tsv" | comm -12 - "$out/found.txt" | wc -l)
  echo "... found $(wc -l <"$out/found.txt") pairs, $right of them among the 200 hidden; all: $1"
}
mine "$out/mined.tsv" --model "$out/run/model"
head -n 6 "$out/mined.tsv"

say "5/5 the same with the model that comes with labse, which was trained on 728 languages"
mine "$out/mined-default.tsv"

say "done in $SECONDS s"
