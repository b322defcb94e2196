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

from cssa_mm.datasets.icon_scenes import generate_demo

ROOT = Path(__file__).parents[2]
PHOTOS_SMALL = (
    'model.backbone.model_name=cssa-demo-rn model.backbone.pretrained=demo model.head.prompts.num_context=4 '
    'model.context_head.num_contexts=2 train_cfg.warmup_epochs=1 train_cfg.semi_epochs=1 train_cfg.val_begin=2 '
    'train_dataloader.num_workers=1 val_dataloader.num_workers=1 test_dataloader.num_workers=1'
)
# What is appended to keep a command small; all others run as they stand.
SHORTER = {
    'bash tools/quickstart.sh': '--cfg-options train_cfg.warmup_epochs=2 train_cfg.val_begin=1',
    'bash tools/run_tests.sh': f'--collect-only -q --rootdir {ROOT} {ROOT}/tests/test_compat.py',
    'python tools/train.py configs/cssa_coco_p05.py': PHOTOS_SMALL,
    'python tools/make_demo_data.py': '--num-train 120 --num-test 24',
    'python tools/repeat.py': '--seeds 1 2 --rows zero_shot oracle',
}


def readme_commands() -> list[str]:
    text = (ROOT / 'README.md').read_text('utf-8')
    blocks = re.findall(r'```bash\n(.*?)```', text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip() and not line.startswith('#')]


def make_photos(root: Path) -> None:
    rng = np.random.default_rng(0)
    names = ['cat', 'dog', 'potted plant']
    (root / 'annotations').mkdir(parents=True)
    (root / 'names.txt').write_text('\n'.join(names) + '\n')
    categories = [dict(id=index, name=name) for index, name in enumerate(names)]
    for part, ids in (('train', range(100, 140)), ('test', range(500, 510))):
        (root / part).mkdir()
        for image_id in ids:
            pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / part / f'{image_id}.jpg')
        images = [dict(id=image_id, file_name=f'{image_id}.jpg') for image_id in ids]
        annotations = [dict(image_id=i, category_id=c) for i in ids for c in range(3) if rng.random() < 0.6 or c == 0]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'{part}.json').write_text(json.dumps(content))


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
        'zero_shot', 'labelled_only', 'cssa', 'wall_seconds',
    }  # fmt: skip
