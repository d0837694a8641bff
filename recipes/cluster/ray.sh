#!/bin/bash
#SBATCH --job-name=labse-ray
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
# Runs a command of labse on all nodes of the job, by Ray: sbatch ray.sh mine A B --work /shared/run --out /shared/pairs.tsv
set -euo pipefail
head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_USAGE_STATS_ENABLED=0

# Data never pass through Ray, so its object store may be small.
options=(--num-cpus "$SLURM_CPUS_PER_TASK" --object-store-memory 500000000 --disable-usage-stats --block)

# Rank 0 is the head, which runs tasks as well. The others try again until it answers.
srun --nodes=1 --ntasks=1 --nodelist="$head_node" --overlap \
    ray start --head --port="$port" "${options[@]}" &
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head_node" --overlap \
        bash -c 'for _ in {1..30}; do ray start --address="$0" "$@" && exit; sleep 10; done; exit 1' \
        "$head_node:$port" "${options[@]}" &
fi
for _ in {1..60}; do
    ray status --address "$head_node:$port" >/dev/null 2>&1 && break
    sleep 5
done

# The command runs on the first node, in this script; SIGTERM ends it, and the same job goes on from its marks.
export RAY_ADDRESS="$head_node:$port"
labse "$@" --cluster auto &
command=$!
trap 'kill -TERM $command' TERM
code=0
wait $command || code=$?
if ((code > 128)); then # The signal came; the command still writes down what is done.
    code=0
    wait $command || code=$?
fi
exit $code
