#!/bin/bash
# Score a folder of data on 16 GPUs of a Slurm cluster: `sbatch slurm.sh`. Submit it again after a limit or a
# failure: what is finished is not scored again.
#SBATCH --job-name=sqsd-lint
#SBATCH --array=1-16
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=48G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=sqsd-lint-%A-%a.log

set -euo pipefail

# Paths that every node sees. The folder of scores may be on a network file system; the cache may not.
DATA=/shared/data
SCORES=/shared/scores
BUNDLE=/shared/bundles/qwen3-8b
MODEL=/shared/models/Qwen3-8B
export SQSD_LINT_CACHE_DIR="${TMPDIR:-/tmp}/sqsd-lint"

# Named, so that all tasks score alike whatever they run on.
srun sqsd-lint score "$DATA" --bundle "$BUNDLE" --model "$MODEL" \
    --device cuda --dtype bfloat16 --workers 1 --no-progress \
    --output-dir "$SCORES" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
