#!/usr/bin/env bash
# The documentation as a site: bash tools/docs.sh builds build/docs/site from the Markdown of this repository, without
# a network; a warning, such as a broken link, is an error. Its environment is .venv-docs, which is made at the first
# call and when requirements/docs.txt changes. To read it: python3 -m http.server -d build/docs/site.
set -eo pipefail
cd "$(dirname "$0")/.."
VENV=${CSSA_DOCS_VENV:-.venv-docs}
if ! cmp -s requirements/docs.txt "$VENV/requirements.txt"; then
    echo "Installing into $VENV (half a minute the first time)"
    python3 -m venv "$VENV" && "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt ||
        { echo "error: the installation failed; the messages above tell why" >&2; exit 2; }
    cp requirements/docs.txt "$VENV/requirements.txt"
fi
# Each page lies where it lies in the repository, so that the links between pages hold in both; README.md is the home.
rm -rf build/docs && mkdir -p build/docs/pages
cp -r --parents docs README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE CITATION.cff \
    cssa_mm/demo/clip/MODEL_CARD.md build/docs/pages
# No -q: it would take the warnings out of what --strict counts. The variable silences mkdocs-material's advertisement.
NO_MKDOCS_2_WARNING=1 "$VENV/bin/python" -m mkdocs build --strict
