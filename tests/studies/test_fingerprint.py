"""Results are kept as long as settings, code and data are the same; else they are run anew, and the study says why."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cssa_mm.apis.config import load_config
from cssa_mm.datasets.splits.split import make_split, save_split
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.studies.fingerprint import DataDigests

ROWS = ['zero_shot']


@pytest.fixture(scope='module')
def finished(tmp_path_factory, run_toy, small_demo):
    """A copy of the demo, and the work directory of a study on it."""
    root = tmp_path_factory.mktemp('finished')
    shutil.copytree(small_demo, root / 'icons')
    run_toy('baselines', root / 'out', rows=ROWS, data_root=root / 'icons')
    return root


@pytest.fixture
def run_again(run_toy, capsys):
    """run_again(work_dir, **arguments) -> whether the run was done anew, and what the study printed."""

    def call(root: Path, **arguments) -> tuple[bool, str]:
        result = root / 'out' / 'zero_shot-1' / 'result.json'
        stamp = result.stat().st_mtime_ns
        capsys.readouterr()
        summary = run_toy('baselines', root / 'out', rows=ROWS, **dict(data_root=root / 'icons') | arguments)
        assert summary['failures'] == {}
        return result.stat().st_mtime_ns != stamp, capsys.readouterr().out

    return call


def edit_labels(root: Path) -> None:
    path = root / 'icons' / 'annotations' / 'test.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['category_id'] = 1 + content['annotations'][0]['category_id'] % 24
    path.write_text(json.dumps(content))


def draw_other_scenes(root: Path) -> None:
    generate_demo(root / 'icons', num_train=120, num_test=48, test_seed=5)


def replace_image(root: Path) -> None:
    Image.new('RGB', (96, 96), 'white').save(root / 'icons' / 'test' / '000003.jpg')


@pytest.mark.parametrize('change', [edit_labels, draw_other_scenes, replace_image])
def test_other_data_at_the_same_path_are_run_anew(change, finished, run_again, tmp_path):
    kept = tmp_path / 'before'
    shutil.copytree(finished / 'icons', kept)
    try:
        run_again(finished)
        assert run_again(finished)[0] is False
        change(finished)
        is_new, printed = run_again(finished)
        assert is_new
        assert printed.count('1 of 1 results are out of date and run again: data changed') == 1
        assert run_again(finished)[0] is False
    finally:
        shutil.rmtree(finished / 'icons')
        shutil.copytree(kept, finished / 'icons')


def test_other_code_is_run_anew_unless_its_results_are_kept(finished, run_again, monkeypatch):
    run_again(finished)
    before = (finished / 'out' / 'zero_shot-1' / 'result.json').read_text()
    monkeypatch.setattr('cssa_mm.studies.jobs.code_digest', lambda: 'another version')
    assert run_again(finished, keep_results=True)[0] is False
    assert (finished / 'out' / 'zero_shot-1' / 'result.json').read_text() == before
    is_new, printed = run_again(finished)
    assert is_new
    assert 'run again: code changed' in printed


def test_results_of_older_code_are_not_kept_where_data_or_settings_differ_too(finished, run_again, monkeypatch):
    run_again(finished)
    monkeypatch.setattr('cssa_mm.studies.jobs.code_digest', lambda: 'a third version')
    is_new, printed = run_again(finished, keep_results=True, overrides={'model.head.temperature': 4})
    assert is_new
    assert 'run again: settings changed, code changed' in printed


# -- the hash of the data ------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path) -> Path:
    """Twelve photos of which six are labelled, and two for the test."""
    (tmp_path / 'images').mkdir()
    for number in range(14):
        Image.new('RGB', (8, 8), (number, 0, 0)).save(tmp_path / 'images' / f'{number:02d}.png')
    names = ['dog', 'cat', 'sun']
    rows = [f'{number:02d}.png,{names[number % 3]}' for number in range(14)]
    (tmp_path / 'labels.csv').write_text('\n'.join(['image,labels', *rows[:6]]) + '\n')
    (tmp_path / 'test.csv').write_text('\n'.join(['image,labels', *rows[12:]]) + '\n')
    return tmp_path


def digest(root: Path, **overrides) -> str:
    return DataDigests().of(load_config('cssa_table', data_root=root, overrides=overrides))


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


CHANGES = {
    'a label': lambda root: append(root / 'labels.csv', '06.png,cat\n'),
    'a test label': lambda root: append(root / 'test.csv', '11.png,dog\n'),
    'a photo more': lambda root: Image.new('RGB', (8, 8)).save(root / 'images' / 'new.png'),
    'a photo less': lambda root: (root / 'images' / '10.png').unlink(),
    'a photo replaced': lambda root: Image.new('RGB', (9, 9)).save(root / 'images' / '10.png'),
    'a photo renamed': lambda root: (root / 'images' / '10.png').rename(root / 'images' / '99.png'),
    'a class': lambda root: (root / 'classes.txt').write_text('dog\ncat\nsun\nmoon\n'),
}


@pytest.mark.parametrize('name', CHANGES)
def test_what_is_read_is_in_the_hash_of_the_data(name, photos):
    before = digest(photos)
    assert digest(photos) == before
    CHANGES[name](photos)
    assert digest(photos) != before


def test_what_is_not_read_is_not_in_the_hash_of_the_data(photos):
    before = digest(photos)
    (photos / 'notes.txt').write_text('a note')
    (photos / 'labels.csv').write_text((photos / 'labels.csv').read_text().replace('\n', '\r\n'))
    assert digest(photos) == before


def test_a_split_file_of_the_same_name_counts_by_its_content(photos):
    key = 'train_dataloader.dataset.split'
    ids = [f'{number:02d}.png' for number in range(12)]
    (photos / 'labels.csv').write_text('image,labels\n' + ''.join(f'{name},dog;cat\n' for name in ids))
    found = set()
    for seed in (1, 2):
        save_split(make_split(ids, 0.25, seed), photos / 'mine.txt')
        found.add(digest(photos, **{key: 'mine.txt'}))  # below data_root
        found.add(digest(photos, **{key: str(photos / 'mine.txt')}))
    assert len(found) == 2


def test_weights_count_by_their_content(photos):
    weights = photos / 'weights.pt'
    weights.write_bytes(b'one')
    options = {'model.backbone.pretrained': str(weights)}
    before = digest(photos, **options)
    weights.write_bytes(b'two')
    assert digest(photos, **options) != before


def test_rows_with_the_same_data_read_them_once(small_demo, monkeypatch):
    shares = [{'train_dataloader.dataset.split.proportion': share} for share in (0.1, 0.5)]
    noise = {'train_dataloader.dataset.wrong_labels': 0.2}
    configs = [load_config('cssa_demo', data_root=small_demo, overrides=options) for options in (*shares, noise)]
    built = []
    build = DataDigests.of.__globals__['DATASETS'].build
    monkeypatch.setattr('cssa_mm.studies.fingerprint.DATASETS.build', lambda *a: built.append(a) or build(*a))
    digests = DataDigests()
    assert len({digests.of(config) for config in configs}) == 1
    assert len(built) == 2  # training and test data


def test_no_image_is_opened(tmp_path):
    (tmp_path / 'images').mkdir()
    for number in range(60):
        (tmp_path / 'images' / f'{number:02d}.jpg').write_bytes(b'no image at all')
    (tmp_path / 'labels.csv').write_text('image,labels\n00.jpg,dog;cat\n')
    (tmp_path / 'test.csv').write_text('image,labels\n01.jpg,dog;cat\n')
    assert digest(tmp_path)
