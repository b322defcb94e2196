#!/usr/bin/env bash
# The paper's twelve settings with OpenAI's CLIP on the full data sets: environment, runs, and a table of results in
# work_dirs/full_sets/results.md. What is not there is not run. The same command goes on after an interruption.
#   bash tools/reproduce_table.sh --data-root-coco DIR --data-root-voc DIR --data-root-nus DIR --seeds 1 2 3 --jobs 4
set -eo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
exec "$PYTHON" tools/reproduce.py "$@"
