#!/usr/bin/env bash
# Environment and tests: bash tools/run_tests.sh [pytest arguments]. FAMILY=onedl tests on the other toolbox,
# FAMILY=lowest with the lowest versions that are allowed. The tests of pages in a browser need Chromium.
set -eo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
source tools/environment.sh
command -v chromium chromium-browser google-chrome >/dev/null ||
    echo "No Chromium: the tests of pages in a browser skip (apt-get install chromium)"
exec "$PYTHON" -m pytest "$@"
