#!/usr/bin/env bash
# What needs a GPU, in at most six minutes: its tests, training, encoding and mining.
# Use: benchmarks/gpu.sh [output folder, default runs/gpu]; labse, torch and pytest are installed.
#   --small  tiny sizes, which run on a CPU too: a try of the script, not of the machine.
#   --dry    prints the commands.
# PEAK is what one GPU multiplies in bfloat16 by its data sheet, in 10^12 operations a second (989:
# H100 and H200). A part that fails or takes too long is told, and the next one begins.
# Results: results.jsonl in the output folder, with a log of each part.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=runs/gpu small='' dry=''
for argument; do
  case $argument in
  --small) small=1 ;;
  --dry) dry=1 ;;
  -*) echo "unknown option $argument" >&2 && exit 2 ;;
  *) out=$argument ;;
  esac
done
[ -n "$dry" ] || { mkdir -p "$out" && out=$(cd "$out" && pwd); } || exit 4
peak=${PEAK:-989} failed=0 started=$SECONDS

# The sizes of the paper, or tiny ones.
pieces=501153 lines=60000 batch=4096 micro=1024 steps=10 rows=1000000 device=cuda
bert=()
if [ -n "$small" ]; then
  pieces=2000 lines=400 batch=32 micro=16 steps=4 rows=3000 device=cpu
  bert=(--set model.bert.num_hidden_layers=1 --set model.bert.hidden_size=48)
fi

part() { # part NAME SECONDS COMMAND ...: one part, its log, and a line of results
  local name=$1 limit=$2 status=0 begun=$SECONDS
  shift 2
  [ -n "$dry" ] && { echo "timeout $limit $*"; return; }
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
  printf '{"part": "%s", "seconds": %d, "exit": %d}\n' "$name" $((SECONDS - begun)) "$status" |
    tee -a "$out/results.jsonl"
  [ "$status" = 0 ] || { failed=1; tail -n 3 "$out/$name.log"; }
}

make_data() { # A vocabulary, lines of more than 32 pieces, and pairs of such lines
  python - "$root" "$out" "$pieces" "$lines" <<'PYTHON'
import itertools, random, sys
from pathlib import Path

from labse.model_folder.hub import locate_model
from labse.vocab.tokenizer import load_tokenizer, save_vocabulary

root, out, pieces, lines = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
ids = load_tokenizer(locate_model(None)).get_vocab()
unused = (f"[unused{number}]" for number in itertools.count())
names = itertools.chain(sorted(ids, key=ids.__getitem__), unused)
save_vocabulary(out / "vocab", list(itertools.islice(names, pieces)))
words = (root / "recipes/tiny/data/lines.eng.txt").read_text(encoding="utf-8").split()
draw = random.Random(0)
texts = [" ".join(draw.choices(words, k=40)) for _ in range(2 * lines)]
(out / "lines.txt").write_text("".join(f"{text}\n" for text in texts[:lines]), encoding="utf-8")
pairs = zip(texts[:lines], texts[lines:])
table = ["lang\tenglish\ttext\n", *(f"de\t{a}\t{b}\n" for a, b in pairs)]
(out / "pairs.tsv").write_text("".join(table), encoding="utf-8")
PYTHON
}

tell_speeds() { # The share of the peak that training reached, and lines a second of encoding
  python - "$out" "$peak" "$batch" "$lines" <<'PYTHON'
import json, sys
from pathlib import Path

out, peak, batch, lines = Path(sys.argv[1]), *map(float, sys.argv[2:])
step_flops = json.loads((out / "plan.log").read_text())["step_flops"]
rows = [json.loads(line) for line in (out / "run/metrics.jsonl").read_text().splitlines()]
speed = max(row["pairs_per_second"] for row in rows if "pairs_per_second" in row)
share = speed / batch * step_flops / (peak * 1e12)
parts = map(json.loads, (out / "results.jsonl").read_text().splitlines())
seconds = next(part["seconds"] for part in parts if part["part"] == "encode")
figures = {"pairs_per_second": round(speed), "flops_utilisation": round(share, 4)}
figures["lines_per_second_with_start"] = round(lines / max(seconds, 1))
print(json.dumps(figures))
PYTHON
}

[ -n "$dry" ] || rm -rf "$out/results.jsonl" "$out/run" "$out/vectors"
[ -n "$dry" ] || make_data >"$out/data.log" 2>&1 || { tail -n 3 "$out/data.log"; exit 1; }
recipe=("$root/recipes/paper/released.toml" "${bert[@]}" --set model.bert.vocab_size="$pieces"
  --set 'train.precision="bfloat16"' --set train.global_batch_size="$batch"
  --set train.micro_batch_size="$micro")
part tests 90 python -m pytest -q -m gpu -c "$root/pyproject.toml" "$root/tests/gpu"
part plan 10 labse train "${recipe[@]}" --dry-run --tflops "$peak" --json
part train 100 labse train "${recipe[@]}" --vocab "$out/vocab" --out "$out/run" \
  --set "data.pairs=['$out/pairs.tsv']" --set train.train_steps="$steps" \
  --set train.log_every=2 --set train.eval_every="$steps" --set train.checkpoint_every="$steps"
part encode 50 labse encode "$out/lines.txt" --model "$out/run/model" --out "$out/vectors" \
  --runtime torch --precision bfloat16
part mine 100 python "$root/benchmarks/knn.py" --rows "$rows" --dimensions 384 --device "$device" \
  --calls labse
[ -n "$dry" ] && exit 0
tell_speeds 2>>"$out/train.log" | tee -a "$out/results.jsonl"
tail -n 1 "$out/mine.log" | tee -a "$out/results.jsonl"
echo "$((SECONDS - started)) s; all: $out"
exit "$failed"
