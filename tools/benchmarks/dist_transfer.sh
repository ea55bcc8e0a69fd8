#!/usr/bin/env bash
# Fine-tune a pretrained backbone in mmdet or mmseg on several processes of this machine, one per GPU.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT NUM_PROCESSES [arguments of tools/train.py ...]" >&2
    echo 'environment: WORK_DIR, and those of tools/dist_train.sh' >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
# Write the config with the checkpoint as init_cfg of the backbone and of a C4 detector's RoI head.
resolved=$("${PYTHON:-python}" "$tools/transfer.py" "$2" "$1" --work-dir "${WORK_DIR:-work_dirs/transfer}" --resolve)
config=${resolved##*$'\n'}

exec "$tools/dist_train.sh" "$config" "$3" --work-dir "$(dirname "$(dirname "$config")")" --resume "${@:4}"
