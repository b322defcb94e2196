"""Zero-shot with neighbours among the predicted images. Oracle: features, logits and neighbours put together here."""

import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import cssa_mm
from cssa_mm.apis.image_input import view_batches
from cssa_mm.apis.loading import untrained_model
from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.predicting.scorers import open_for_prediction
from cssa_mm.apis.predicting.shards import Shards
from cssa_mm.apis.predicting.sources import find_images
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.apis.suggesting import suggest
from cssa_mm.errors import ConfigError, DataError

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
FILE = 'shards/neighbours.pt'


@pytest.fixture
def settings(tiny_config):
    """settings(**options of Neighbours) -> a config whose untrained model scores at 64 x 64."""

    def make(**options):
        neighbours = dict(type='Neighbours', k=3) | options
        return cssa_mm.load_config(tiny_config(**{'view.size': 64, 'model.neighbours': neighbours}))

    return make


@pytest.fixture
def predict(settings, photos, tmp_path):
    """predict(**options) -> a run of zero-shot CLIP on the photos, with neighbours, into `out`."""

    def call(most=4096, **options):
        given = dict(images=photos, checkpoint=None, config=settings(max_images=most), classes=NAMES, neighbours=True)
        return cssa_mm.predict(**given | dict(out=tmp_path / 'out', workers=0, shard_size=4, device='cpu') | options)

    return call


def scores_of(run) -> dict[str, np.ndarray]:
    table = pq.read_table(run.out / 'scores.parquet')
    return dict(zip(table['image'].to_pylist(), np.stack([table[name] for name in NAMES], 1), strict=True))


def assert_equal(found, expected, atol=2e-4):  # stored values have float16
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=atol, err_msg=name)


def fitted_to(config, paths):
    """An untrained model with these images as its neighbours, put together here."""
    model = untrained_model(config, device='cpu')
    scorer, logits, pooled = TorchScorer(model), [], []
    for pixels, _ in view_batches(paths, scorer.view, 1):
        local, of_image = scorer.features(torch.stack(pixels))
        logits.append(model.alignment_of(local, of_image).logits)
        pooled.append(of_image)
    rows = model.neighbours.store(torch.cat(pooled))
    model.neighbours.fit_logits(torch.cat(logits), torch.cat(pooled), rows)
    return model


def own_scores(model, photos, names) -> dict[str, np.ndarray]:
    """The scores of each image alone."""
    predictor = cssa_mm.Predictor(model, batch_size=1, device='cpu')
    return {name: next(predictor.predict(photos / name)).scores for name in names}


def test_scores_lean_on_all_images_of_the_folder_and_each_alone_has_the_same(predict, settings, photos, tmp_path):
    found = scores_of(predict())
    model = fitted_to(settings(), [photos / name for name in found])
    assert_equal(found, own_scores(model, photos, found))
    without = scores_of(predict(neighbours=False, out=tmp_path / 'without'))
    assert max(abs(found[name] - without[name]).max() for name in found) > 0.01


def test_the_python_api_gives_the_same(settings, predict, photos, clip_dir):
    config = settings(k=32)
    config.model.head.update(prompts=dict(num_context=4, initial_words='a photo of a'), shared_prompts=True)
    found = scores_of(predict(config=config))
    tower = dict(model_name='tiny-rn', pretrained=clip_dir / 'tiny-rn.pt', config_dir=clip_dir)
    model = cssa_mm.zero_shot(class_names=NAMES, neighbours=photos, size=64, device='cpu', **tower)
    expected = own_scores(model, photos, found)
    alone = own_scores(cssa_mm.zero_shot(class_names=NAMES, size=64, device='cpu', **tower), photos, found)
    assert_equal(found, expected)
    assert max(abs(expected[name] - alone[name]).max() for name in found) > 0.001


def test_the_python_api_refuses_a_folder_without_readable_photos(clip_dir, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    tower = dict(model_name='tiny-rn', pretrained=clip_dir / 'tiny-rn.pt', config_dir=clip_dir)
    with pytest.raises(DataError, match='neighbours: found no two of 1 images') as refused:
        cssa_mm.zero_shot(class_names=NAMES, neighbours=tmp_path, device='cpu', **tower)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('options', [
    dict(batch_size=1), dict(batch_size=3, shard_size=5), dict(shard_size=1), dict(workers=2),
])  # fmt: skip
def test_scores_do_not_depend_on_batches_shards_and_workers(predict, tmp_path, options):
    for most in (4096, 6):
        expected = scores_of(predict(most, out=tmp_path / f'expected{most}'))
        assert_equal(scores_of(predict(most, out=tmp_path / f'found{most}', **options)), expected)


def test_no_image_is_encoded_twice(predict, tmp_path, counted):
    predict()
    assert counted == [10]
    counted.clear()
    predict(most=4, out=tmp_path / 'some')
    assert counted == [4, 6]


def test_of_many_images_some_are_drawn_and_all_lean_on_them(predict, settings, photos, tmp_path):
    run = predict(most=6)
    names = torch.load(run.out / FILE, weights_only=True)['names']
    assert len(set(names)) == 6
    found = scores_of(run)
    assert_equal(found, own_scores(fitted_to(settings(), [photos / name for name in names]), photos, found))
    assert 'among 6' in run.text()


@pytest.mark.parametrize('most', [4096, 6])
def test_a_run_that_stopped_goes_on_and_ends_in_the_same_bytes(predict, tmp_path, monkeypatch, counted, most):
    def results(run):
        return {name: (run.out / name).read_bytes() for name in run.files}

    whole = results(predict(most, out=tmp_path / 'whole', batch_size=3))
    write = Shards.write

    def stops(self, number, shard):
        if number == 1:
            raise KeyboardInterrupt
        write(self, number, shard)

    monkeypatch.setattr(Shards, 'write', stops)
    with pytest.raises(KeyboardInterrupt):
        predict(most, batch_size=3)
    monkeypatch.setattr(Shards, 'write', write)
    counted.clear()
    result = predict(most, batch_size=3)
    assert sum(counted) == max(0, 10 - most)
    assert results(result) == whole
    counted.clear()
    assert predict(most).was_done
    assert counted == []


def test_new_images_lean_on_those_of_the_first_run(predict, photos, draw, counted):
    first = scores_of(predict())
    draw(photos, 1, start=20)
    Image.new('RGB', (50, 50), 'red').save(photos / 'img2.png')
    os.unlink(photos / 'img5.png')
    counted.clear()
    result = predict()
    assert counted == [2]
    assert 'that an earlier run has read; --force reads them anew' in result.text()
    second = scores_of(result)
    assert {name for name in second if np.array_equal(second[name], first.get(name))} == {*first} - {
        'img2.png', 'img5.png',
    }  # fmt: skip
    anew = scores_of(predict(replaces=True))
    assert max(abs(anew[name] - second[name]).max() for name in anew) > 1e-3


def test_bad_images_are_named_and_no_neighbours(predict, photos, tmp_path):
    expected = scores_of(predict())
    (photos / 'bad.png').write_bytes(b'no image')
    result = predict(out=tmp_path / 'other')
    assert (result.images, result.bad) == (10, 1)
    assert 'bad.png\tfound no readable image' in (result.out / 'bad_images.txt').read_text()
    assert 'among 10' in result.text()
    assert_equal(scores_of(result), expected)


def test_one_image_alone_is_scored_by_clip(predict, photos, tmp_path):
    result = predict(images=photos / 'img0.png')
    assert 'neighbours: none' in result.text()
    assert_equal(
        scores_of(result), scores_of(predict(images=photos / 'img0.png', neighbours=False, out=tmp_path / 'w')), 1e-6
    )


def test_a_folder_without_a_readable_image_leaves_nothing(predict, photos, tmp_path):
    for path in photos.rglob('*.png'):
        path.write_bytes(b'no image')
    with pytest.raises(DataError, match='found none of 10 that can be read'):
        predict()
    assert not (tmp_path / 'out').exists()


def test_evidence_of_the_config_is_left_out(settings, photos):
    config = settings()
    config.model.evidence = dict(type='DiscriminantEvidence')
    nearby = NearbyImages(find_images(photos))
    model = open_for_prediction(None, config, classes=NAMES, neighbours=nearby, device='cpu').scorer.model
    assert model.evidence is None
    assert model.neighbours.values.shape == (10, 1, 6)


def test_classes_come_from_a_text_a_list_a_file_or_the_folder(photos, tmp_path, clip_dir):
    (tmp_path / 'names.txt').write_text('dog\nred kite\n')
    shutil.copy(tmp_path / 'names.txt', photos / 'classes.txt')
    images = photos / 'more'
    common = dict(
        checkpoint=None, tower=f'tiny-rn:{clip_dir / "tiny-rn.pt"}', scores='none', formats=[], workers=0, device='cpu'
    )
    for number, given in enumerate(('dog, red kite', ['dog', 'red kite'], str(tmp_path / 'names.txt'))):
        run = cssa_mm.predict(images=images, classes=given, out=tmp_path / str(number), **common)
        assert list(run.labels) == ['dog', 'red kite']
    run = cssa_mm.predict(images=photos, neighbours=True, out=tmp_path / 'own', **common)
    assert list(run.labels) == ['dog', 'red kite']
    assert (run.images, sum(run.labels.values())) == (10, 10)
    assert 'never trained' in run.choice


def test_thresholds_are_found_on_scores_with_neighbours(settings, toy_data, tmp_path):
    config = settings()
    run = cssa_mm.predict(
        images=toy_data / 'train', checkpoint=None, config=config, neighbours=True, out=tmp_path / 'out', workers=0,
        device='cpu', raw_scores=True,
    )  # fmt: skip
    model = json.loads((run.out / 'model.json').read_text())
    assert model['thresholds']['rule'] == 'f1'
    assert model['checkpoint']['name'].endswith('with neighbours among the images')
    plain = cssa_mm.predict(
        images=toy_data / 'train', checkpoint=None, config=config, out=tmp_path / 'plain', workers=0, device='cpu'
    )
    assert json.loads((plain.out / 'model.json').read_text())['thresholds'] != model['thresholds']


@pytest.mark.parametrize(('options', 'message'), [
    (dict(checkpoint='given', config=None, classes=None), 'neighbours: found them beside a checkpoint'),
    (dict(checkpoint='given', config=None, neighbours=False), 'classes: found them beside a checkpoint'),
    (dict(classes='dog,,cat'), "classes: found 'dog,,cat'"),
    (dict(config=None, classes=None), 'config: found none .*--classes'),
])  # fmt: skip
def test_a_wrong_option_is_one_line_and_leaves_nothing(predict, tiny_checkpoint, tmp_path, options, message):
    if 'checkpoint' in options:
        options = options | dict(checkpoint=tiny_checkpoint)
    with pytest.raises(ConfigError, match=message) as refused:
        predict(**options)
    assert '\n' not in str(refused.value)
    assert not (tmp_path / 'out').exists()


def test_scores_with_and_without_neighbours_do_not_mix(predict, counted):
    predict(neighbours=False)
    counted.clear()
    with pytest.raises(ConfigError, match='with predictions without neighbours'):
        predict()
    assert counted == []  # before any image is read
    predict(replaces=True)
    with pytest.raises(ConfigError, match='found predictions by a model with other neighbours or none'):
        predict(neighbours=False)
    with pytest.raises(ConfigError, match='found neighbours that another model has read'):
        predict(classes=[*NAMES[:5], 'owl'])
    predict(neighbours=False, replaces=True)


def test_a_damaged_file_is_one_line(predict, tmp_path):
    predict()
    (tmp_path / 'out' / FILE).write_bytes(b'broken')
    with pytest.raises(DataError, match='found no readable neighbours') as refused:
        predict()
    assert '\n' not in str(refused.value)
    assert predict(replaces=True).images == 10


def test_suggestions_take_what_predictions_have_read(predict, settings, photos, tmp_path, monkeypatch):
    common = dict(images=photos, config=settings(), classes=NAMES, count=3, workers=0, device='cpu')
    with pytest.raises(ConfigError, match='neighbours: found no shards/neighbours.pt in'):
        suggest(out=tmp_path / 'early', neighbours=tmp_path / 'out', **common)
    predict()
    expected = suggest(out=tmp_path / 'reads', neighbours=True, **common)

    def never(*_):
        raise AssertionError('an image was encoded')

    monkeypatch.setattr(TorchScorer, 'features', never)
    found = suggest(out=tmp_path / 'takes', neighbours=tmp_path / 'out', **common)
    assert (found.names, found.why) == (expected.names, expected.why)
