#!/usr/bin/env bash
# Distributed training: bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py].
# NNODES, NODE_RANK, MASTER_ADDR and PORT as in mmpretrain; MAX_RESTARTS as in torchrun. Without CUDA the processes talk
# through gloo.
set -e
[ $# -ge 2 ] || { echo "error: found $# arguments, expected CONFIG PROCESSES" >&2; exit 2; }
exec "$(dirname "$0")/torchrun.sh" train.py "$2" "$1" "${@:3}"
