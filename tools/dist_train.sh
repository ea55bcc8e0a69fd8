#!/usr/bin/env bash
# Train on several processes of this machine, one per GPU; with NNODES > 1, run this on every machine.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG NUM_PROCESSES [arguments of tools/train.py ...]" >&2
    echo 'environment: NNODES NODE_RANK MASTER_ADDR PORT MAX_RESTARTS OMP_NUM_THREADS PYTHON' >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One thread per process is torchrun's default as well, but torchrun would warn that it sets it.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    rendezvous=(--standalone --local-addr=127.0.0.1) # on a free port, so that jobs on one machine do not collide
else
    rendezvous=(
        --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}"
    )
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    "${rendezvous[@]}" \
    --nproc_per_node="$2" \
    --max-restarts="${MAX_RESTARTS:-0}" \
    "$tools/train.py" "$1" --launcher pytorch "${@:3}"
