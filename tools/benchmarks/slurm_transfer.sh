#!/usr/bin/env bash
# Fine-tune a pretrained backbone in mmdet or mmseg on a Slurm cluster.
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/train.py ...]" >&2
    echo 'environment: WORK_DIR, and those of tools/slurm_train.sh' >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
resolved=$("${PYTHON:-python}" "$tools/transfer.py" "$4" "$3" --work-dir "${WORK_DIR:-work_dirs/transfer}" --resolve)
config=${resolved##*$'\n'}

exec "$tools/slurm_train.sh" "$1" "$2" "$config" "$(dirname "$(dirname "$config")")" --resume "${@:5}"
