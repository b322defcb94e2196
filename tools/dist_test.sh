#!/usr/bin/env bash
# Distributed test: bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py].
set -e
[ $# -ge 3 ] || { echo "error: found $# arguments, expected CONFIG CHECKPOINT PROCESSES" >&2; exit 2; }
exec "$(dirname "$0")/torchrun.sh" test.py "$3" "$1" "$2" "${@:4}"
