#!/usr/bin/env bash
# Proofs that take too long for the tests: bash tools/acceptance.sh NAME
#   wheel   builds the wheel, installs it with all that it needs into an empty environment, and from an empty folder runs
#           the quickstart, a study, every config by name, and a checkpoint that is copied alone
#   round-trips   writes 2,000 random sets of labels in each form and reads them back (tests: 60, always the same)
#   long      the tests that are marked so: quickstart at toy size twice, a killed study, the wheel's commands, bad images on two processes
#   values    gives every documented key wrong values, trains a tiny model with those that are taken, and prints counts
#   sizes     annotation files of the published sizes of COCO, VOC and NUS-WIDE: split sizes, and what loading COCO takes
#   doors     compares the scores and labels of every door, image by image, on 200 test images: Predictor, the inferencers,
#           cssa test, mmpretrain's test.py and ONNX; arguments: [CONFIG CHECKPOINT] --data-root FOLDER --images 200 (by
#           default the demo, trained briefly)
#   int8      quantises real towers and measures their mAP and speed against fp32; arguments: see
#           tests/reliability/int8_towers.py
#   label-studio  sends 20 random sets of labels, and predictions, through a real Label Studio server and reads its exports
#           back; it installs the server into the cache (1 GB), unless CSSA_LABEL_STUDIO names a virtual environment with
#           it; arguments: --sets 20 --seed 0 --keep FOLDER
#   predict-speed  the rate of cssa predict on 2,000 images beside that of the bare encoder; --folder, --checkpoint, ...
#   predict-kill   kills cssa predict on 100,000 images and goes on: memory, and that no image is twice or missing
#   million  a semi-supervised epoch of a million made-up images on two processes: memory of each, below 4 GiB, seconds and
#           bytes sent by part; arguments: --images 1000000 --classes 20 --processes 2 --batch 512 --gib 4
#   ray   predicts 400 scenes on a local cluster of Ray whose two actors are killed, and compares the scores with those of
#           the local engine; it installs Ray (600 MB) into an environment in the cache; --images 400
#   neighbours   what neighbours cost: predicting with and without, fitting against encoding; --images 2000 --repeats 7
#   suggestions  whether rounds of suggested photos teach more than random ones: the demo by default; --seeds 1 2 3 4 5
#           --config CONFIG --data-root FOLDER --tower NAME:FILE --features FOLDER --begin 30 --count 20 --rounds 3
#   store   builds the store of frozen features at the size of COCO (8 GiB of disk), kills it in the middle and goes on:
#           memory, disk, time, and that nothing is encoded twice; --images 82081 --folder FOLDER
#   soak      trains for 2,000 steps and watches memory, open files and processes; --config cssa_plus_demo --steps 2000
#   reading   reads label files of a million rows, against pandas and json alone
#   fuzz      reads wounded files by every reader, and prints how many were read, refused in one line, or neither:
#           --inputs 100000 --seed 0
#   mutants   changes one line of the code at a time, 86 times, and sees whether the unit tests of the module fail; exit
#           status 1 if less than 90 % of the changes are noticed; --only losses --limit 10 --processes 2
#   onnx      exports models on RN50 and ViT-B-32 (or the towers NAME:FILE that are given) as ONNX, compares them with torch
#           in scores and speed, and runs them in an empty environment with onnxruntime and Pillow alone
#   resume    resumes trainings after each of ten steps, with 0 and 2 workers, both methods, with and without kept features
#           and both kinds of towers, and compares all that follows bit by bit with a run that did not stop
#   ranks     compares whole trainings on 1, 2 and 4 processes at three numbers of images; kills one of two processes of a
#           training, twice, lets torchrun start them again, and compares the end with that of a run that nobody stopped;
#           arguments: --kills 2 --processes 2
#   kills     kills a training 50 times, half of them in the window of a save, resumes it each time, and compares its end
#           with that of a run that nobody killed; arguments: --kills 50 --seed 0
#   versions  makes a fresh environment for each Python and kind, and runs the smoke set in it; prints what was not run;
#           --pythons 3.10 3.11 3.12 3.13 --kinds openmmlab onedl lowest, and arguments of pytest
set -eo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

wheel() {
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    git -C "$ROOT" ls-files -z -co --exclude-standard | tar -C "$ROOT" --null -T - -cf - | (mkdir "$work/source" && tar -C "$work/source" -xf -)
    python3 -m venv "$work/venv"
    local python=$work/venv/bin/python
    "$python" -m pip install --quiet 'setuptools>=77,<82' wheel
    "$python" -m pip wheel --quiet --no-deps --no-build-isolation -w "$work" "$work/source"
    local file
    file=$(echo "$work"/cssa_mm-*.whl)
    # The pins of the tests: a PyPI torch for GPUs would take gigabytes.
    "$python" -m pip install --quiet -r "$ROOT/requirements/openmmlab.txt" "$file"
    rm -rf "$work/source"
    mkdir "$work/empty" "$work/alone"
    cd "$work/empty"
    export PATH=$work/venv/bin:$PATH
    cssa --version
    cssa quickstart
    cssa study baselines --seeds 1 --rows zero_shot cssa
    cp "work_dirs/quickstart/cssa_plus/$(cat work_dirs/quickstart/cssa_plus/last_checkpoint)" "$work/alone/model.pth"
    cp data/icons/test/000000.jpg "$work/alone/photo.jpg"
    cd "$work/alone"
    "$python" - <<'PYTHON'
import cssa_mm
from cssa_mm.files import configs_root

names = [path.stem for path in (configs_root() / 'configs').glob('*.py')]
for name in names:
    cssa_mm.load_config(name)
print(f'{len(names)} configs load by name')
model = cssa_mm.load_model('model.pth')
for prediction in cssa_mm.Predictor(model).predict('photo.jpg'):
    print(prediction.path, prediction.labels, prediction.scores.round(3))
PYTHON
}

round-trips() {
    cd "$ROOT"
    source tools/environment.sh
    CSSA_ROUND_TRIPS=2000 "$PYTHON" -m pytest -q tests/reliability/test_round_trips.py
}

long() {
    cd "$ROOT"
    source tools/environment.sh
    CSSA_LONG=1 "$PYTHON" -m pytest -q -m long tests
}

values() {
    cd "$ROOT"
    source tools/environment.sh
    CSSA_VALUES=1 "$PYTHON" -m pytest -q -s tests/reliability/test_config_values.py
}

sizes() {
    cd "$ROOT"
    source tools/environment.sh
    CSSA_REAL_SIZES=1 "$PYTHON" -m pytest -q tests/datasets/test_real_sizes.py
}

label-studio() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/label_studio_round_trips.py" "$@"
}

resume() {
    cd "$ROOT"
    source tools/environment.sh
    CSSA_RESUME=1 "$PYTHON" -m pytest -q tests/reliability/test_resume.py
}

kills() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/kills.py" "$@"
}

ranks() {
    cd "$ROOT"
    source tools/environment.sh
    local scenes
    for scenes in 61 64 81; do
        CSSA_SCENES=$scenes "$PYTHON" -m pytest -q tests/reliability/test_ranks.py
    done
    PYTHONPATH=$ROOT exec "$PYTHON" tests/reliability/ranks.py "$@"
}

doors() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/doors_agree.py" "$@"
}

int8() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/int8_towers.py" "$@"
}

predict-speed() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/predicting_speed.py" "$@"
}

predict-kill() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/predicting_kill.py" "$@"
}

million() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/million.py" "$@"
}

ray() {
    source "$ROOT/tools/environment.sh"
    local venv=${XDG_CACHE_HOME:-$HOME/.cache}/cssa_mm/ray-env
    venv=${CSSA_RAY:-$venv}
    if [ ! -x "$venv/bin/ray" ]; then
        echo "Installing Ray into $venv (600 MB, a minute or two, once)"
        "$PYTHON" -m venv --clear "$venv"
        # The packages of the project's environment are seen in this one, and stay as they are.
        local folder='import sysconfig; print(sysconfig.get_path("purelib"))'
        echo "import site; site.addsitedir('$("$PYTHON" -c "$folder")')" >"$("$venv/bin/python" -c "$folder")/project.pth"
        "$venv/bin/python" -m pip install --quiet 'ray[data]==2.60.0'
    fi
    PYTHONPATH=$ROOT exec "$venv/bin/python" "$ROOT/tests/reliability/predicting_on_ray.py" "$@"
}

neighbours() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/neighbours_cost.py" "$@"
}

suggestions() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/suggestions.py" "$@"
}

store() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/feature_store.py" "$@"
}

soak() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/soak.py" "$@"
}

reading() {
    source "$ROOT/tools/environment.sh"
    local extra
    extra=$(mktemp -d)
    trap 'rm -rf "$extra"' EXIT
    "$PYTHON" -m pip install --quiet --no-deps --target "$extra" pandas python-dateutil six # the baseline alone
    PYTHONPATH=$ROOT:$extra "$PYTHON" "$ROOT/tests/reliability/reading_speed.py"
}

fuzz() {
    cd "$ROOT"
    source tools/environment.sh
    local inputs=100000 seed=0
    while [ $# -gt 0 ]; do
        case $1 in
            --inputs) inputs=$2 ;;
            --seed) seed=$2 ;;
            *)
                echo "error: fuzz: found '$1', expected --inputs NUMBER or --seed NUMBER" >&2
                exit 2
                ;;
        esac
        shift 2
    done
    CSSA_FUZZ_INPUTS=$inputs CSSA_FUZZ_SEED=$seed "$PYTHON" -m pytest -q --tb=no tests/reliability/test_fuzz.py
}

mutants() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/mutants.py" "$@"
}

onnx() {
    source "$ROOT/tools/environment.sh"
    PYTHONPATH=$ROOT exec "$PYTHON" "$ROOT/tests/reliability/onnx_towers.py" "$@"
}

versions() {
    python3 "$ROOT/tests/reliability/versions.py" "$@"
}

NAMES="wheel round-trips long sizes label-studio doors int8 onnx predict-speed predict-kill million ray neighbours reading
store suggestions resume ranks kills fuzz mutants values soak versions"
for name in $NAMES; do
    if [ "${1:-}" = "$name" ]; then
        "$@"
        exit
    fi
done
echo "error: acceptance: found '${1:-}', expected one of:" $NAMES >&2
exit 2
