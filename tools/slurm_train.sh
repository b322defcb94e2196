#!/usr/bin/env bash
# Training on a Slurm cluster: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py].
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS as in mmpretrain. One torchrun per node starts its processes.
set -e
[ $# -ge 4 ] || { echo "error: found $# arguments, expected PARTITION JOB_NAME CONFIG WORK_DIR" >&2; exit 2; }
GPUS=${GPUS:-8}
GPUS_PER_NODE=$((GPUS < ${GPUS_PER_NODE:-8} ? GPUS : ${GPUS_PER_NODE:-8}))
export NNODES=$(((GPUS + GPUS_PER_NODE - 1) / GPUS_PER_NODE)) PORT=${PORT:-29500}
TOOLS=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2086,SC2016
exec srun -p "$1" --job-name="$2" --gres=gpu:"$GPUS_PER_NODE" --nodes="$NNODES" --ntasks="$NNODES" \
    --ntasks-per-node=1 --cpus-per-task="$((${CPUS_PER_TASK:-5} * GPUS_PER_NODE))" --kill-on-bad-exit=1 $SRUN_ARGS \
    bash -c 'export NODE_RANK=$SLURM_NODEID MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
             exec bash "$0" "$@"' "$TOOLS/dist_train.sh" "$3" "$GPUS_PER_NODE" --work-dir "$4" "${@:5}"
