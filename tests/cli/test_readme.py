"""Every command of the README runs: verbatim, in order, in a folder with a small version of the data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cssa_mm.demo.scenes import generate_demo

ROOT = Path(__file__).parents[2]
SMALL_TOWER = (
    '--cfg-options model.backbone.model_name=cssa-demo-rn model.backbone.pretrained=demo '
    'model.head.prompts.num_context=4'
)
# What is appended to keep a command small; all others run as they stand.
SHORTER = {
    'bash tools/quickstart.sh': '--cfg-options train_cfg.warmup_epochs=2 train_cfg.val_begin=1',
    'bash tools/run_tests.sh': f'--collect-only -q --rootdir {ROOT} {ROOT}/tests/test_compat.py',
    'python tools/train.py configs/cssa_table.py': SMALL_TOWER,
    'python tools/test.py configs/cssa_table.py': SMALL_TOWER,
    'python tools/make_demo_data.py': '--num-train 120 --num-test 24',
    'python tools/study.py': '--seeds 1 2 --rows zero_shot linear_probe',
    'python tools/train.py configs/cssa_demo.py --work-dir work_dirs/split': 'train_cfg.warmup_epochs=1',
}


def readme_commands() -> list[str]:
    text = (ROOT / 'README.md').read_text('utf-8')
    blocks = re.findall(r'```bash\n(.*?)```', text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip() and not line.startswith('#')]


def make_photos(root: Path) -> None:
    """The files of the section 'Your own photos'; no labelled photo shows a sheep."""
    rng = np.random.default_rng(0)
    names = [f'{"holiday/" * (index % 2)}IMG_{index:04}.jpg' for index in range(40)]
    for name in names:
        (root / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(root / 'images' / name)
    labelled = [f'{name},{label}' for name, label in zip(names, ['dog;person', 'cat', 'none', ''] * 3, strict=False)]
    tested = [
        f'{name},{label}'
        for name, label in zip(names[-6:], ['cat', 'dog', 'sheep', 'person', 'none', 'cat'], strict=True)
    ]
    for table, rows in (('labels', labelled), ('test', tested)):
        (root / f'{table}.csv').write_text('\n'.join(['image,labels', *rows]) + '\n')
    (root / 'classes.txt').write_text('cat\ndog\nperson\nsheep\n')


@pytest.mark.cli
@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path):
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    generate_demo(tmp_path / 'data' / 'icons', num_train=120, num_test=24)
    make_photos(tmp_path / 'photos')
    environment = os.environ | dict(
        PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        PYTHONPATH=str(ROOT),
        CSSA_VENV=str(Path(sys.executable).parents[1]),
        PORT='29611',
        OMP_NUM_THREADS='1',
    )
    commands = readme_commands()
    assert len(commands) > 8
    for command in commands:
        extra = next((value for key, value in SHORTER.items() if command.startswith(key)), '')
        sets_up = command in ('bash tools/quickstart.sh', 'bash tools/run_tests.sh')
        if 'quickstart' in command:
            extra = f'--work-dir {tmp_path}/work_dirs/quickstart --data-root {tmp_path}/data/icons {extra}'
        run = subprocess.run(
            ['bash', '-c', f'{command} {extra}'],
            cwd=ROOT if sets_up else tmp_path,  # these two find their environment beside the scripts
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f'{command}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}'
    assert set(json.loads((tmp_path / 'work_dirs/quickstart/summary.json').read_text())) == {
        'zero_shot', 'labelled_only', 'cssa', 'cssa_plus', 'wall_seconds',
    }  # fmt: skip
