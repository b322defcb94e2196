"""`bash tools/reproduce_table.sh`: the twelve settings, on a tiny VOC."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cssa_mm.cli.reproduce import main
from cssa_mm.datasets.voc import VOC_CLASSES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tiny_voc(tmp_path_factory) -> Path:
    """40 training and 12 test images with three classes each."""
    root = tmp_path_factory.mktemp('VOC')
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (('train', 40), ('val', 12)):
        ids = [f'{part}_{number:02}' for number in range(count)]
        (root / 'ImageSets' / 'Main' / f'{part}.txt').write_text('\n'.join(ids))
        for number, name in enumerate(ids):
            shown = [VOC_CLASSES[(number + step) % 6] for step in (0, 1, 3)]
            objects = ''.join(f'<object><name>{word}</name></object>' for word in shown)
            (root / 'Annotations' / f'{name}.xml').write_text(f'<annotation>{objects}</annotation>')
            pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / 'JPEGImages' / f'{name}.jpg', quality=95)
    return root


@pytest.fixture(scope='module')
def words(tiny_voc, clip_dir, tmp_path_factory) -> list[str]:
    """The arguments of a short run with a tiny tower, of data of which VOC alone is there."""
    out = tmp_path_factory.mktemp('reproduce')
    options = ['view.size=64', 'train_cfg.warmup_epochs=1', 'train_cfg.semi_epochs=1']
    options += ['default_hooks.calibration.folds=0', 'default_hooks.pseudo_labels.num_workers=0']
    for part in ('train', 'test'):
        options += [f'{part}_dataloader.num_workers=0', f'{part}_dataloader.persistent_workers=False']
    words = ['--data-root-voc', tiny_voc, '--data-root-coco', out / 'coco', '--data-root-nus', out / 'nus']
    words += ['--tower', f'tiny-rn:{clip_dir}/tiny-rn.pt', '--work-dir', out / 'work', '--features', out / 'features']
    return [str(word) for word in [*words, '--cfg-options', *options]]


@pytest.mark.cli
def test_what_is_there_is_run_once_and_the_table_says_what_is_missing(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    # The runner formats its config three times, which takes seconds and changes nothing.
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True))
    assert main(words) == 0
    work = Path(words[words.index('--work-dir') + 1])
    results = {path: json.loads(path.read_text()) for path in work.glob('voc/*/result.json')}
    assert len(results) == 16
    text = (work / 'results.md').read_text()
    m_ap = text.split('| mAP |')[1]
    for number, share in enumerate((0.05, 0.1, 0.15, 0.2), 1):
        found = {r['row']: r['mAP'] for r in results.values()}
        values = [found[f'voc_{name}@{share}'] for name in ('zero-shot', 'labelled-only', 'CSSA', 'cssa_plus')]
        assert f'| VOC, {5 * number} % | {" | ".join(f"{value:.1f}" for value in values)} |' in m_ap
    for name, title in (('coco', 'COCO'), ('nus', 'NUS-WIDE')):
        (line,) = [line for line in text.splitlines() if line.startswith(f'{title} was not run: ')]
        assert str(work.parent / name) in line
        assert line.endswith(f'or name their folder with --data-root-{name})')
    assert text in capsys.readouterr().out
    stamps = {path: path.stat().st_mtime_ns for path in results}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in results} == stamps


def test_the_command_line_reaches_every_argument_of_the_function(monkeypatch, tmp_path):
    given = {}
    table = tmp_path / 'results.md'
    table.write_text('')

    def reproduce(**arguments) -> dict:
        given.update(arguments)
        return dict(table=table, failures={'a.log': 'broken'})

    monkeypatch.setattr('cssa_mm.cli.reproduce.reproduce', reproduce)
    text = '--data-root-coco c --data-root-voc v --data-root-nus n --seeds 3 4 --jobs 2 --tower t --work-dir w'
    assert main([*text.split(), '--features', 'f', '--keep-results', '--cfg-options', 'model.ema.decay=0.5']) == 1
    assert given == dict(
        data_roots=dict(coco='c', voc='v', nus='n'),
        seeds=[3, 4],
        jobs=2,
        tower='t',
        work_dir='w',
        features='f',
        keep_results=True,
        overrides={'model.ema.decay': 0.5},
    )


def test_the_script_runs_the_command_with_its_arguments():
    script = (ROOT / 'tools' / 'reproduce_table.sh').read_text()
    assert script.splitlines()[-1] == 'exec "$PYTHON" tools/reproduce.py "$@"'
