#!/usr/bin/env bash
# Train on several processes of this machine, one per GPU; with NNODES > 1, run this on every machine.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG NUM_PROCESSES [arguments of tools/train.py ...]" >&2
    echo 'environment: NNODES NODE_RANK MASTER_ADDR PORT MAX_RESTARTS OMP_NUM_THREADS PYTHON' >&2
    exit 2
fi

# A host that joins again would start anew, and the others go on, unless all of them resume.
if ((${NNODES:-1} > 1 && ${MAX_RESTARTS:-0} > 0)) && [[ " ${*:3} " != *' --resume'[\ =]* ]]; then
    echo "error: MAX_RESTARTS=$MAX_RESTARTS on several machines needs --resume, so that all ranks go on from one step" >&2
    exit 2
fi
if ((${MAX_RESTARTS:-0} > 0)) && [[ " ${*:3} " = *' --max-minutes'[\ =]* ]]; then
    echo "error: MAX_RESTARTS=$MAX_RESTARTS would start again what --max-minutes has stopped: use one of them" >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One thread per process is torchrun's default as well, but torchrun would warn that it sets it.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
# By default, torchrun keeps one store over restarts, where new ranks find the addresses of those that have died.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    rendezvous=(--standalone --local-addr=127.0.0.1) # on a free port, so that jobs on one machine do not collide
else
    # Not --node_rank, with which a host cannot join again, and which has that store in any case.
    address=${MASTER_ADDR:-127.0.0.1}
    rendezvous=(
        --nnodes="${NNODES:-1}" --rdzv-backend=c10d --rdzv-endpoint="$address:${PORT:-29500}"
        --rdzv-conf="is_host=$((${NODE_RANK:-0} == 0))"
    )
    if [ "${NODE_RANK:-0}" = 0 ]; then
        rendezvous+=(--local-addr="$address")
    fi
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    "${rendezvous[@]}" \
    --nproc_per_node="$2" \
    --max-restarts="${MAX_RESTARTS:-0}" \
    "$tools/train.py" "$1" --launcher pytorch "${@:3}"
