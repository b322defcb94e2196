#!/usr/bin/env bash
# Distributed test: bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py].
set -e
exec "$(dirname "$0")/torchrun.sh" test.py "$3" "$1" "$2" "${@:4}"
