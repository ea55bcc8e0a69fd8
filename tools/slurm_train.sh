#!/usr/bin/env bash
# Train on a Slurm cluster. Outside a job this submits one, which goes on by itself after its time limit, a preemption
# and the failure of a node. Inside a job (sbatch, salloc) it trains there.
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py ...]" >&2
    echo 'environment: GPUS GPUS_PER_NODE CPUS_PER_TASK SBATCH_ARGS SRUN_ARGS MASTER_PORT PYTHON' >&2
    exit 2
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
resources=(
    --partition="$1"
    --job-name="$2"
    --gres="gpu:$gpus_per_node"
    --ntasks="$gpus"
    --ntasks-per-node="$gpus_per_node"
    --cpus-per-task="${CPUS_PER_TASK:-10}"
)

if [ -z "${SLURM_JOB_ID:-}" ]; then
    mkdir -p "$4"
    # Several options, separated by spaces.
    read -r -a sbatch_args <<<"${SBATCH_ARGS:-}"
    # Two minutes before the time limit the ranks get SIGUSR1, on which they save and exit with status 75.
    exec sbatch \
        "${resources[@]}" \
        --requeue \
        --open-mode=append \
        --output="$4/slurm-%j.log" \
        --signal=USR1@120 \
        ${sbatch_args[@]+"${sbatch_args[@]}"} \
        --wrap="$(printf '%q ' "$tools/slurm_train.sh" "$@")"
fi

read -r -a srun_args <<<"${SRUN_ARGS:-}"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
resume=()
if ((${SLURM_RESTART_COUNT:-0} > 0)); then
    resume=(--resume)
fi
status=0
srun \
    "${resources[@]}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$tools/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}" \
    ${resume[@]+"${resume[@]}"} || status=$?
if ((status == 75)); then
    echo "the run is saved; job $SLURM_JOB_ID goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
