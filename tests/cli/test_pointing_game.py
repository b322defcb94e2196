import json

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.cli
XML = """<annotation><size><width>60</width><height>40</height></size>
<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def voc(tmp_path):
    """Two photos that a dog fills."""
    root = tmp_path / 'voc'
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (root / folder).mkdir(parents=True)
    for name in '12':
        (root / 'Annotations' / f'{name}.xml').write_text(XML)
        pixels = np.random.default_rng(int(name)).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'JPEGImages' / f'{name}.jpg')
    (root / 'ImageSets' / 'Main' / 'val.txt').write_text('1\n2\n')
    return root


@pytest.mark.smoke
def test_the_command_prints_the_table_and_writes_figures_and_picture(tool, quick_run, voc, backbone_config, tmp_path):
    out, work_dir = tmp_path / 'new' / 'figures.json', tmp_path / 'work'
    tower = [f'model.backbone.{key}={value}' for key, value in backbone_config().items() if key != 'type']
    words = ['--data-root', voc, '--device', 'cpu', '--work-dir', work_dir, '--out', out]
    words += ['--cfg-options', *tower, 'test_dataloader.num_workers=0']
    done = tool('pointing_game.py', 'cssa_voc_p05', 'none', *words)
    found = json.loads(out.read_text())
    assert {title: entry['count'] for title, entry in found.items()} == {'dog': 2, 'all': 2}
    assert found['all']['attention']['hit'] == found['all']['random']['hit'] == 1  # no map can miss
    assert done.stdout.startswith('hits in per cent  n ')
    assert done.stdout.endswith(f'picture: {work_dir}/pointing_game.png\n')
    with Image.open(work_dir / 'pointing_game.png') as image:
        assert min(image.size) > 300
    done = quick_run('tools/pointing_game.py', 'cssa_voc_p05', 'nowhere.pth', *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: checkpoint: found no file 'nowhere.pth', expected one")
