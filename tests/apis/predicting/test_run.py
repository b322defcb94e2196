"""Predictions of a folder: what is written, and what a second run does."""

import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import cssa_mm
from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.predicting import scorers
from cssa_mm.apis.predicting.shards import Shards
from cssa_mm.datasets.table import TableDataset
from cssa_mm.errors import ConfigError, DataError

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
FILES = [
    'predictions.csv', 'classes.txt', 'model.json', 'scores.parquet', 'label_studio.json', 'label_studio.xml',
    'fiftyone/labels.json',
]  # fmt: skip


@pytest.fixture
def predict(tiny_checkpoint, photos, tmp_path):
    """predict(**options) -> the result of a run on the photos, into `out`."""

    def call(**options):
        given = dict(images=photos, checkpoint=tiny_checkpoint, out=tmp_path / 'out', workers=0, shard_size=4)
        return cssa_mm.predict(**given | options)

    return call


def files_of(folder):
    """Every result of a folder, by name; not its shards."""
    paths = [path for path in folder.rglob('*') if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.parent.name != 'shards'}


def test_scores_and_labels_are_those_of_a_predictor(predict, photos, tiny_checkpoint, read_table):
    """Oracle: `Predictor`, which knows nothing of shards and workers."""
    result = predict(workers=2)
    assert (result.images, result.bad, result.scored, result.files) == (10, 0, 10, FILES)
    names = [*(f'img{n}.png' for n in range(8)), 'more/img8.png', 'more/img9.png']
    predictor = cssa_mm.Predictor(cssa_mm.load_model(tiny_checkpoint), batch_size=4)  # batches like the shards'
    expected = list(predictor.predict([photos / name for name in names]))
    table = pq.read_table(result.out / 'scores.parquet')
    assert table.column_names == ['image', *NAMES]
    assert table['image'].to_pylist() == names
    scores = np.stack([table[name].to_numpy() for name in NAMES], 1)
    assert np.array_equal(scores, [each.scores for each in expected])
    assert read_table(result.out / 'predictions.csv') == [
        [name, ';'.join(each.labels) or 'none'] for name, each in zip(names, expected, strict=True)
    ]
    shown = {name: sum(name in each.labels for each in expected) for name in NAMES}
    assert result.labels == shown
    assert 0 < sum(shown.values()) < 60
    assert result.without_label == sum(not each.labels for each in expected)


def test_the_table_reads_back_as_labels_of_the_folder(predict, photos, read_table):
    result = predict()
    for name in ('predictions.csv', 'classes.txt'):
        shutil.copy(result.out / name, photos.parent)
    data = TableDataset(data_root=str(photos.parent), ann_file='predictions.csv', img_dir='photos', lazy_init=True)
    found = data.read_annotations()
    written = {name: {*labels.split(';')} - {'none'} for name, labels in read_table(result.out / 'predictions.csv')}
    assert data.class_names == NAMES
    assert {
        name: {NAMES[c] for c in np.flatnonzero(row == 1)}
        for name, row in zip(found.image_ids, found.labels, strict=True)
    } == written


def test_images_of_any_size_go_together_where_the_view_keeps_sizes(make_model, photos, tmp_path):
    model = make_model(view=dict(type='View', size=None)).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    result = cssa_mm.predict(images=photos, checkpoint=tmp_path / 'model.pth', out=tmp_path / 'out', workers=0)
    table = pq.read_table(result.out / 'scores.parquet')
    scores = np.stack([table[name].to_numpy() for name in NAMES], 1)
    expected = [
        each.scores for each in cssa_mm.Predictor(model).predict([photos / n for n in table['image'].to_pylist()])
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_bad_images_are_named_and_left_out(predict, photos, read_table):
    (photos / 'img3.png').write_bytes(b'no image')
    (photos / 'more' / 'img9.png').write_bytes((photos / 'img0.png').read_bytes()[:70])
    result = predict()
    assert (result.images, result.bad, result.files[-1]) == (8, 2, 'bad_images.txt')
    lines = [line.split('\t') for line in (result.out / 'bad_images.txt').read_text().splitlines()]
    assert [path for path, _ in lines] == [str(photos / 'img3.png'), str(photos / 'more' / 'img9.png')]
    assert all(reason.startswith('found no readable image') for _, reason in lines)
    assert not {'img3.png', 'more/img9.png'} & {row[0] for row in read_table(result.out / 'predictions.csv')}
    assert pq.read_table(result.out / 'scores.parquet').num_rows == 8


def test_an_image_too_small_for_the_tower_is_a_bad_one(make_model, photos, tmp_path):
    model = make_model(view=dict(type='View', size=None)).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    for name in ('pixel.png', 'new\nline.png'):
        Image.new('RGB', (1, 1)).save(photos / name)
    result = cssa_mm.predict(images=photos, checkpoint=tmp_path / 'model.pth', out=tmp_path / 'out', workers=0)
    assert (result.images, result.bad) == (10, 2)
    lines = [line.split('\t') for line in (result.out / 'bad_images.txt').read_text().splitlines()]
    assert [path for path, _ in lines] == [repr(str(photos / 'new\nline.png')), str(photos / 'pixel.png')]
    assert all(reason.startswith('found one of 1 x 1 pixels') for _, reason in lines)


def test_labels_of_images_that_were_added_later_are_chosen_once_a_shard(predict, photos, monkeypatch, tmp_path):
    options = dict(top=2, shard_size=5, batch_size=1)
    expected = predict(out=tmp_path / 'at once', **options).out
    for path in photos.rglob('img[13579].png'):
        path.rename(tmp_path / path.name)
    predict(**options)
    for path in tmp_path.glob('img?.png'):
        path.rename(photos / ('more' if path.name == 'img9.png' else '') / path.name)
    calls = []
    reached = LabelChoice.reached
    monkeypatch.setattr(LabelChoice, 'reached', lambda *given: calls.append(1) or reached(*given))
    result = predict(**options)
    for name in ('predictions.csv', 'scores.parquet', 'label_studio.json'):
        assert (result.out / name).read_bytes() == (expected / name).read_bytes()
    passes = 7  # the first row, six results and counts
    assert len(calls) <= 2 * (passes + 1)


def test_a_folder_elsewhere_gets_its_own_paths_and_is_said(predict, photos, tmp_path, counted):
    predict()
    photos.rename(tmp_path / 'moved')
    result = predict(images=tmp_path / 'moved')
    assert counted == [10]
    assert f"the images lay in '{photos}' when they were predicted, and lie in '{tmp_path}/moved' now" in result.text()
    tasks = json.loads((result.out / 'label_studio.json').read_text())
    assert all('/moved/' in task['data']['image'] for task in tasks)


def test_a_folder_whose_path_is_no_text(predict, photos, tmp_path):
    other = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9')
    photos.rename(other)
    (tmp_path / os.fsdecode(b'caf\xe9') / 'bad.png').write_text('x')
    result = predict(images=other, sidecars=True)
    assert (result.images, result.bad) == (10, 1)
    result.text().encode()


@pytest.mark.parametrize('killed_at', [1, 2])
def test_a_run_that_stopped_goes_on_and_ends_in_the_same_bytes(predict, tmp_path, monkeypatch, counted, killed_at):
    whole = files_of(predict(out=tmp_path / 'whole', batch_size=3).out)
    write = Shards.write

    def stops(self, number, shard):
        if number == killed_at:
            raise KeyboardInterrupt
        write(self, number, shard)

    monkeypatch.setattr(Shards, 'write', stops)
    with pytest.raises(KeyboardInterrupt):
        predict(batch_size=3)
    monkeypatch.setattr(Shards, 'write', write)
    assert os.listdir(tmp_path / 'out') == ['shards']  # no result before all are there
    counted.clear()
    result = predict(batch_size=3)
    assert counted == [10 - 4 * killed_at]
    assert f'{4 * killed_at} of 10 images were predicted before' in result.text()
    assert files_of(result.out) == whole


def test_a_finished_folder_is_done_and_other_labels_need_no_scores(predict, counted, read_table):
    first = predict()
    stamps = {path: path.stat().st_mtime_ns for path in first.out.rglob('*')}
    again = predict()
    assert again.was_done
    assert (again.images, again.labels) == (first.images, first.labels)
    assert 'nothing to do' in again.text()
    assert {path: path.stat().st_mtime_ns for path in first.out.rglob('*')} == stamps
    best = predict(top=1)
    assert all(';' not in labels != 'none' for _, labels in read_table(best.out / 'predictions.csv'))
    assert sum(best.labels.values()) == 10
    choice = json.loads((best.out / 'model.json').read_text())['choice']
    assert (choice['is_overridden'], choice['top']) == (True, 1)
    none = predict(threshold=1.0)
    assert none.without_label == 10
    assert {labels for _, labels in read_table(none.out / 'predictions.csv')} == {'none'}
    assert predict().labels == first.labels
    assert counted == [10]


def test_results_that_are_not_wanted_any_more_go(predict, counted):
    out = predict().out
    predict(scores='csv', formats=[])
    assert sorted(files_of(out)) == ['classes.txt', 'model.json', 'predictions.csv', 'scores.csv']
    (out / 'scores.csv').unlink()
    assert predict(scores='csv', formats=[]).was_done is False  # a result that is gone comes again
    assert sorted(files_of(out)) == ['classes.txt', 'model.json', 'predictions.csv', 'scores.csv']
    assert counted == [10]


def test_a_folder_that_changed_is_brought_up_to_date(predict, photos, draw, tmp_path, counted):
    predict()
    draw(photos, 1, start=20)
    Image.new('RGB', (50, 50), 'red').save(photos / 'img2.png')
    os.unlink(photos / 'img5.png')
    result = predict()
    assert counted == [10, 2]
    assert 'the images have changed since the last run: 10 then, 10 now' in result.text()
    assert '1 image files have changed' in result.text()
    fresh = predict(out=tmp_path / 'fresh')
    assert set(files_of(fresh.out)) == set(files_of(result.out))
    for name in ('predictions.csv', 'fiftyone/labels.json'):
        assert (fresh.out / name).read_bytes() == (result.out / name).read_bytes()
    tables = [pq.read_table(run.out / 'scores.parquet').to_pydict() for run in (fresh, result)]
    assert tables[0]['image'] == tables[1]['image']
    for name in NAMES:
        np.testing.assert_allclose(tables[0][name], tables[1][name], atol=1e-6)


def test_an_image_that_vanishes_while_others_are_read_is_a_bad_one(predict, photos, monkeypatch):
    from cssa_mm.apis.predicting import run

    def find(images):
        found = original(images)
        os.unlink(photos / 'img1.png')
        return found

    original = run.find_images
    monkeypatch.setattr(run, 'find_images', find)
    result = predict()
    assert (result.images, result.bad) == (9, 1)
    assert 'img1.png\tcannot be read (No such file' in (result.out / 'bad_images.txt').read_text()
    monkeypatch.undo()
    again = predict()
    assert (again.images, again.bad) == (9, 0)
    assert not (again.out / 'bad_images.txt').exists()


def test_a_full_disk_keeps_the_shards_and_the_earlier_results(predict, tmp_path, monkeypatch, counted):
    from cssa_mm.apis.predicting import outputs

    write = Shards.write

    def full(self, number, shard):
        if number == 1:
            raise OSError(28, 'No space left on device')
        write(self, number, shard)

    monkeypatch.setattr(Shards, 'write', full)
    with pytest.raises(ConfigError, match='No space left on device'):
        predict()
    monkeypatch.setattr(Shards, 'write', write)

    def fails(rows, facts, path, choice):
        raise OSError(28, 'No space left on device')

    monkeypatch.setitem(outputs.SCORES['parquet'], 'scores.parquet', fails)
    with pytest.raises(ConfigError, match='No space left on device'):
        predict()
    assert os.listdir(tmp_path / 'out') == ['shards']
    assert not [name for name in os.listdir(tmp_path / 'out' / 'shards') if name.startswith('.')]
    monkeypatch.undo()
    assert predict().images == 10
    assert counted == [10, 6]


def test_zero_shot_labels_by_the_classes_of_a_config(photos, tiny_config, tmp_path):
    result = cssa_mm.predict(
        images=photos, checkpoint=None, config=tiny_config(), out=tmp_path / 'out', workers=0, device='cpu'
    )
    model = json.loads((result.out / 'model.json').read_text())
    assert model['thresholds']['rule'] == 'f1'  # from the labelled images of the config
    assert model['zero_shot_names'] == NAMES
    assert model['checkpoint']['name'].startswith('none: zero-shot CLIP')


def test_zero_shot_without_labelled_images_gives_each_image_its_best_class(photos, tiny_config, tmp_path):
    config = tiny_config(**{'train_dataloader.dataset.ann_file': 'missing.json'})
    result = cssa_mm.predict(
        images=photos, checkpoint=None, config=config, out=tmp_path / 'out', workers=0, device='cpu'
    )
    assert sum(result.labels.values()) == 10
    assert 'never trained' in result.choice


def test_new_classes_of_an_untrained_model_are_refused_at_once(photos, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(scorers, 'start_untrained', lambda *given: pytest.fail('scored'))
    with pytest.raises(ConfigError, match="new_classes: found 'owl' for an untrained model"):
        cssa_mm.predict(
            images=photos, checkpoint=None, config=tiny_config(), new_classes='owl', out=tmp_path / 'out', device='cpu'
        )
    assert not (tmp_path / 'out').exists()


def test_new_classes_are_scored_and_marked(run, toy_data, tmp_path):
    result = cssa_mm.predict(
        images=toy_data / 'test', checkpoint=run.result.checkpoint, out=tmp_path / 'out', new_classes='owl, red kite'
    )
    assert list(result.labels) == [*NAMES, 'owl', 'red kite']
    assert json.loads((result.out / 'model.json').read_text())['zero_shot_names'] == ['owl', 'red kite']
    assert 'never trained, scored by zero-shot CLIP: owl, red kite' in result.text()
    with pytest.raises(ConfigError, match='other classes'):
        cssa_mm.predict(images=toy_data / 'test', checkpoint=run.result.checkpoint, out=tmp_path / 'out')


def test_sidecars_lie_beside_the_photos(predict, photos):
    pixels = {path: path.read_bytes() for path in photos.rglob('*.png')}
    result = predict(top=2, sidecars=True)
    assert len(list(photos.rglob('*.png.xmp'))) == 10
    assert '10 sidecars written' in result.text()
    assert {path: path.read_bytes() for path in photos.rglob('*.png')} == pixels
    assert predict(top=2, sidecars=True).was_done


@pytest.mark.parametrize(('options', 'message'), [
    (dict(batch_size=0), 'batch_size: found 0'),
    (dict(workers=-1), 'workers: found -1'),
    (dict(scores='exel'), "scores: found 'exel'"),
    (dict(formats=['fifty_one']), "formats: found 'fifty_one'.*Did you mean 'fiftyone'"),
    (dict(top=7), 'top: found 7'),
    (dict(top=1, threshold=0.5), 'top: found it together'),
    (dict(threshold=1.5), 'threshold: found 1.5'),
    (dict(threshold={'dog': 0.5}), "threshold: found none for 'cat'"),
    (dict(threshold={'dogs': 0.5}), "threshold: found the class 'dogs'"),
    (dict(new_classes=''), "new_classes: found ''"),
    (dict(new_classes='owl,,kite'), "new_classes: found 'owl,,kite'"),
    (dict(new_classes='owl, Dog'), "found 'Dog', expected a name beside those of the model"),
    (dict(new_classes='owl, owl'), "'owl'"),
    (dict(new_classes='red kite, Red-Kite'), "found 'Red-Kite', .* which have 'red kite'"),
    (dict(config='cssa_demo'), 'config: found one beside a checkpoint'),
    (dict(checkpoint=None), 'config: found none'),
    (dict(device='cuda:x'), 'device: found'),
])  # fmt: skip
def test_a_wrong_option_is_one_line_and_leaves_nothing(predict, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        predict(**options)
    assert '\n' not in str(refused.value)
    assert not (tmp_path / 'out').exists()


def test_a_folder_without_one_readable_image_leaves_nothing(predict, photos, tmp_path):
    for path in photos.rglob('*.png'):
        path.write_bytes(b'no image')
    with pytest.raises(DataError, match=r'found none of 10 that can be read \(.*img0\.png: found no readable image'):
        predict()
    assert not (tmp_path / 'out').exists()


def test_another_checkpoint_is_refused_and_force_starts_anew(predict, make_model, tmp_path, counted):
    first = files_of(predict().out)
    model = make_model(seed=1, view=dict(type='View', size=64)).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'other.pth')
    with pytest.raises(ConfigError, match='found predictions by another checkpoint'):
        predict(checkpoint=tmp_path / 'other.pth')
    assert files_of(tmp_path / 'out') == first
    result = predict(checkpoint=tmp_path / 'other.pth', replaces=True)
    assert files_of(result.out)['scores.parquet'] != first['scores.parquet']
    assert counted == [10, 10]
