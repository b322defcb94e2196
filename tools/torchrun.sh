#!/usr/bin/env bash
# torchrun.sh TOOL PROCESSES [arguments]: what dist_train.sh and dist_test.sh have in common.
set -e
TOOLS=$(cd "$(dirname "$0")" && pwd -P)
[[ $2 =~ ^[1-9][0-9]*$ ]] || { echo "error: number of processes: found '$2', expected a whole number from 1" >&2; exit 2; }
[[ ${MAX_RESTARTS:-0} =~ ^[0-9]+$ ]] || { echo "error: MAX_RESTARTS: found '$MAX_RESTARTS', expected a whole number from 0" >&2; exit 2; }
if [[ $1 = train.py && ${MAX_RESTARTS:-0} -gt 0 && " $* " != *" --resume"* ]]; then
    echo "error: MAX_RESTARTS: found $MAX_RESTARTS without --resume, expected both, or each restart would begin anew; add --resume" >&2
    exit 2
fi
PYTHON=${PYTHON:-$([ -x "$TOOLS/../.venv/bin/python" ] && echo "$TOOLS/../.venv/bin/python" || echo python)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH="$TOOLS/..:$PYTHONPATH"
exec "$PYTHON" "$TOOLS/launch.py" "$@"
