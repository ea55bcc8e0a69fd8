#!/usr/bin/env bash
# Fine-tune a pretrained backbone in mmdet or mmseg on several GPUs of this machine, through MIM.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT NUM_GPUS [arguments of tools/train.py ...]" >&2
    echo 'environment: WORK_DIR PYTHON MIM' >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
resolved=$("${PYTHON:-python}" "$tools/transfer.py" "$2" "$1" --work-dir "${WORK_DIR:-work_dirs/transfer}" --resolve)
config=${resolved##*$'\n'}

exec "${MIM:-mim}" train lewel_plugins "$config" --launcher pytorch --gpus "$3" \
    --work-dir "$(dirname "$(dirname "$config")")" --resume "${@:4}"
