# Sourced by the other scripts: sets PYTHON to the interpreter of a virtual environment with everything installed.
# FAMILY=openmmlab (default) or onedl chooses the toolbox; FAMILY=lowest is openmmlab with the lowest versions that
# setup.py allows. Each has an environment of its own: .venv, .venv-onedl, .venv-lowest. uv is used where it is there,
# else pip.
# A second call reuses the environment while the requirements are the same.

FAMILY=${FAMILY:-openmmlab}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${CSSA_VENV:-$ROOT/.venv$([ "$FAMILY" = openmmlab ] || echo "-$FAMILY")}
PYTHON=$VENV/bin/python
REQUIREMENTS=$ROOT/requirements/$FAMILY.txt

fail() {
    echo "error: $*" >&2
    exit 2
}

install_requirements() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        fail "python3: found $(python3 --version 2>&1), expected Python 3.10 or newer; install it"
    echo "Installing into $VENV (a minute or two the first time)"
    if command -v uv >/dev/null; then
        export UV_PYTHON_DOWNLOADS=never UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
        [ -x "$PYTHON" ] || uv venv --python python3 "$VENV"
        uv pip install --python "$PYTHON" -r "$REQUIREMENTS" -r "$ROOT/requirements/test.txt"
        uv pip install --python "$PYTHON" --no-deps --no-build-isolation -e "$ROOT"
    else
        [ -x "$PYTHON" ] || python3 -m venv "$VENV" || fail "python3 -m venv: failed; install python3-venv"
        "$PYTHON" -m pip install --progress-bar on -r "$REQUIREMENTS" -r "$ROOT/requirements/test.txt"
        "$PYTHON" -m pip install --quiet --no-deps --no-build-isolation -e "$ROOT"
    fi || fail "the installation failed; the messages above tell why"
    "$PYTHON" -c 'import cv2' 2>/dev/null ||
        fail "opencv needs system libraries here: apt-get install libgl1 libglib2.0-0"
}

[ -f "$REQUIREMENTS" ] || fail "FAMILY=$FAMILY: found no $REQUIREMENTS, expected openmmlab, onedl or lowest"
stamp=$(cat "$ROOT"/requirements/{base,test}.txt "$REQUIREMENTS" "$ROOT/setup.py" 2>/dev/null | sha256sum | cut -c1-16)
if [ "$(cat "$VENV/.cssa_stamp" 2>/dev/null)" != "$stamp $ROOT" ]; then
    install_requirements
    echo "$stamp $ROOT" >"$VENV/.cssa_stamp"
fi
