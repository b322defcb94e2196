#!/usr/bin/env bash
# torchrun.sh TOOL PROCESSES [arguments]: what dist_train.sh and dist_test.sh have in common.
set -e
TOOLS=$(cd "$(dirname "$0")" && pwd -P)
[[ $2 =~ ^[1-9][0-9]*$ ]] || { echo "error: number of processes: found '$2', expected a whole number from 1" >&2; exit 2; }
PYTHON=${PYTHON:-$([ -x "$TOOLS/../.venv/bin/python" ] && echo "$TOOLS/../.venv/bin/python" || echo python)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH="$TOOLS/..:$PYTHONPATH"
export CSSA_PARENT=$$  # exec keeps the number: the processes end with torchrun, however that ends
exec "$PYTHON" -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" --nproc_per_node="$2" \
    "$TOOLS/$1" "${@:3}" --launcher pytorch
