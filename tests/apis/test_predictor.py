"""Scores and labels of images, whatever they come as."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cssa_mm
from cssa_mm import Prediction, Predictor
from cssa_mm.errors import ConfigError, DataError, ImageError
from cssa_mm.models.thresholds import ClassThresholds

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']


@pytest.fixture(scope='module')
def model(make_model):
    """A model none of whose classes scores like another; images are scored at 64 x 64."""
    model = make_model(view=dict(type='View', size=64))
    with torch.no_grad():
        model.head.bias.copy_(torch.linspace(-2, 2, 6))
        model.teacher.reset(model.scorer())
    return model.eval()


@pytest.fixture(scope='module')
def arrays():
    """Seven RGB images of different sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + 7 * i, 90 - 5 * i, 3), dtype=np.uint8) for i in range(7)]


def scores_of(model, images, **options):
    return np.stack([result.scores for result in Predictor(model, **options).predict(images)])


def by_hand(model, image):
    """Resize by Pillow, normalise, score."""
    pixels = np.asarray(Image.fromarray(image).resize((64, 64), Image.BICUBIC), dtype=np.float32)
    mean, std = (np.array(getattr(model.backbone.clip, name), dtype=np.float32) for name in ('mean', 'std'))
    inputs = torch.from_numpy((pixels / 255 - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        return model.score(*model.backbone(inputs))[0].numpy()


# -- scores ----------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_scores_are_those_of_the_resized_and_normalised_image(model, arrays):
    found = list(Predictor(model).predict(arrays))
    assert len(found) == 7
    for result, image in zip(found, arrays, strict=True):
        assert isinstance(result, Prediction)
        assert result.scores.dtype == np.float32
        np.testing.assert_allclose(result.scores, by_hand(model, image), rtol=1e-4, atol=1e-7)
    assert np.stack([result.scores for result in found]).std(0).max() > 1e-2  # images differ


def test_scores_do_not_depend_on_the_batch(model, arrays):
    one, seven = scores_of(model, arrays, batch_size=1), scores_of(model, arrays, batch_size=7)
    np.testing.assert_allclose(one, seven, atol=1e-6)


@pytest.mark.parametrize('kind', ['run', 'plus_run'])
def test_scores_are_those_of_a_test(kind, request):
    trained = request.getfixturevalue(kind)
    model = cssa_mm.load_model(trained.result.checkpoint)
    paths = [sample['img_path'] for sample in trained.predictions]
    expected = np.stack([np.asarray(sample['pred_score']) for sample in trained.predictions])
    assert len(paths) == 12
    assert np.array_equal(scores_of(model, paths, batch_size=8), expected)  # batches like the test's
    np.testing.assert_allclose(scores_of(model, paths, batch_size=5), expected, atol=1e-6)


def test_images_that_keep_their_size_are_batched_with_equal_ones(make_model):
    model = make_model(view=dict(type='View', size=None)).eval()
    sizes = [(64, 64), (64, 64), (64, 96), (96, 64), (96, 64), (96, 64), (64, 64)]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = scores_of(model, images, batch_size=2)
    alone = np.concatenate([scores_of(model, image) for image in images])
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_a_model_in_training_mode_is_scored_in_eval_mode(model, arrays):
    expected = scores_of(model, arrays)
    model.train()
    assert np.array_equal(scores_of(model, arrays), expected)
    model.eval()


def test_nothing_is_recorded_for_gradients(model, arrays):
    assert not torch.from_numpy(next(Predictor(model).predict(arrays)).scores).requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


# -- what images come as ---------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def grey():
    return np.random.default_rng(1).integers(0, 256, (50, 70), dtype=np.uint8)


def test_an_image_scores_alike_whatever_it_comes_as(model, arrays, tmp_path):
    array = arrays[0]
    Image.fromarray(array).save(tmp_path / 'image.png')
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    kinds = [
        str(tmp_path / 'image.png'),
        tmp_path / 'image.png',
        Image.fromarray(array),
        array,
        array[:, ::-1][:, ::-1],  # not contiguous
        tensor,
        tensor.float() / 255,
        tensor.double() / 255,
        (tensor.float() - 0.4).clamp(min=0) / 255,  # the nearest pixel value
    ]
    expected = scores_of(model, [array])
    for found in scores_of(model, kinds, batch_size=1):
        assert np.array_equal(found, expected[0])
    for image in kinds:  # one alone needs no list
        assert np.array_equal(scores_of(model, image), expected)


def test_only_a_path_is_told(model, arrays, tmp_path):
    Image.fromarray(arrays[0]).save(tmp_path / 'image.png')
    images = [str(tmp_path / 'image.png'), tmp_path / 'image.png', arrays[0], Image.fromarray(arrays[0])]
    paths = [result.path for result in Predictor(model, batch_size=3).predict(images)]
    assert paths == [str(tmp_path / 'image.png')] * 2 + [None] * 2


def test_pillow_images_of_every_mode_are_rgb(model, arrays, grey):
    colour = Image.fromarray(arrays[0])
    transparent = colour.convert('RGBA')
    transparent.putalpha(Image.fromarray(np.full(arrays[0].shape[:2], 51, np.uint8)))  # a fifth of it, on white
    on_white = np.round(arrays[0] * 0.2 + 255 * 0.8).astype(np.uint8)
    palette = colour.convert('P', palette=Image.ADAPTIVE, colors=16)
    cases = [
        (transparent, on_white),
        (Image.fromarray(grey), np.stack([grey] * 3, -1)),
        (palette, np.asarray(palette.convert('RGB'))),
        (Image.fromarray(grey > 127), np.stack([np.where(grey > 127, 255, 0).astype(np.uint8)] * 3, -1)),
    ]
    assert np.array_equal(scores_of(model, [image for image, _ in cases]), scores_of(model, [rgb for _, rgb in cases]))


def test_grey_arrays_have_three_equal_channels(model, grey):
    assert np.array_equal(scores_of(model, [grey]), scores_of(model, [np.stack([grey] * 3, -1)]))


def test_an_image_stands_upright_by_its_exif_tag(model, arrays, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(arrays[0]).save(tmp_path / 'turned.png', exif=exif)
    upright = np.rot90(arrays[0], -1)
    with Image.open(tmp_path / 'turned.png') as image:
        found = scores_of(model, [tmp_path / 'turned.png', image])
    assert np.array_equal(found, scores_of(model, [upright, upright]))


def test_arrays_and_tensors_of_four_dimensions_are_batches(model):
    batch = np.random.default_rng(2).integers(0, 256, (5, 48, 40, 3), dtype=np.uint8)
    expected = scores_of(model, list(batch))
    assert expected.shape == (5, 6)
    assert np.array_equal(scores_of(model, batch), expected)
    assert np.array_equal(scores_of(model, torch.from_numpy(batch).permute(0, 3, 1, 2)), expected)


def test_nothing_gives_nothing(model):
    assert list(Predictor(model).predict([])) == []
    assert list(Predictor(model).predict(iter(()))) == []


@pytest.mark.smoke
def test_results_come_as_soon_as_their_batch_is_scored(model, arrays):
    pulled = []

    def stream():
        for index in range(7):
            pulled.append(index)
            yield arrays[index]

    results = Predictor(model, batch_size=2).predict(stream())
    assert pulled == []
    seen = []
    for number in range(7):
        seen.append(next(results).scores)
        assert len(pulled) <= 2 * (number // 2 + 1) + 1  # of the next batch, the one image that ends this one
    assert list(results) == []
    assert np.array_equal(np.stack(seen), scores_of(model, arrays, batch_size=2))


# -- labels ----------------------------------------------------------------------------------------------------


def test_labels_are_the_classes_at_or_above_their_thresholds(make_model, arrays):
    model = make_model(view=dict(type='View', size=64)).eval()
    (before,) = Predictor(model).predict(arrays[0])
    scores = [float(score) for score in before.scores]
    above = [np.nextafter(score, 2) for score in scores]
    model.thresholds = ClassThresholds((scores[0], above[1], scores[2], above[3], 0.0, 1.0), 'default')
    (result,) = Predictor(model).predict(arrays[0])
    assert result.labels == ['dog', 'traffic light', 'table']


def test_without_thresholds_the_best_class_is_the_label(model, arrays):
    before = model.thresholds
    model.thresholds = ClassThresholds.none(6)
    try:
        results = list(Predictor(model).predict(arrays))
    finally:
        model.thresholds = before
    assert [result.labels for result in results] == [[NAMES[int(np.argmax(result.scores))]] for result in results]


# -- what is refused -------------------------------------------------------------------------------------------


def test_an_unreadable_file_is_named_in_one_line(model, arrays, tmp_path):
    Image.fromarray(arrays[0]).save(tmp_path / 'good.png')
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.jpg').write_text('no image')
    (tmp_path / 'half.png').write_bytes((tmp_path / 'good.png').read_bytes()[:400])
    for name in ('missing.jpg', 'empty.jpg', 'text.jpg', 'half.png', '.'):
        with pytest.raises(ImageError) as error:
            list(Predictor(model).predict([tmp_path / 'good.png', tmp_path / name]))
        assert str(error.value).startswith(f'{tmp_path / name}: ')
        assert '\n' not in str(error.value)


def test_a_half_image_of_pillow_is_refused(model, arrays, tmp_path):
    Image.fromarray(arrays[0]).save(tmp_path / 'good.png')
    (tmp_path / 'half.png').write_bytes((tmp_path / 'good.png').read_bytes()[:400])
    with Image.open(tmp_path / 'half.png') as image, pytest.raises(ImageError, match='image: found') as error:
        list(Predictor(model).predict(image))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((40, 40, 3), np.float32),
        np.zeros((40, 40, 3), np.int64),
        np.zeros((40, 40, 4), np.uint8),
        np.zeros((3, 40, 40), np.uint8),
        np.zeros(40, np.uint8),
        np.zeros((0, 40, 3), np.uint8),
        torch.zeros(1, 40, 40),
        torch.zeros(40, 40, 3),
        torch.zeros(40, 40),
        torch.zeros(3, 0, 40),
        torch.full((3, 40, 40), 255.0),
        torch.full((3, 40, 40), -0.1),
        torch.full((3, 40, 40), float('nan')),
        torch.zeros(3, 40, 40, dtype=torch.int64),
        None,
        7,
    ],
    ids=lambda image: f'{getattr(image, "dtype", image)}-{tuple(getattr(image, "shape", ()))}',
)
def test_what_is_no_image_is_refused_in_one_line(model, image):
    with pytest.raises(DataError) as error:
        list(Predictor(model).predict([image]))
    assert str(error.value).startswith('image: found ')
    assert ', expected ' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('batch_size', [0, -1, 2.0, '8', None])
def test_a_batch_size_must_be_a_whole_number(model, batch_size):
    with pytest.raises(ConfigError, match='batch_size: found'):
        Predictor(model, batch_size=batch_size)


def test_a_model_without_a_view_is_refused(make_model):
    with pytest.raises(ConfigError, match='model.view: found none, expected the view'):
        Predictor(make_model())


def test_an_unknown_device_is_refused(model):
    with pytest.raises(ConfigError, match="device: found 'tpu'"):
        Predictor(model, device='tpu')
    assert Predictor(model, device='cpu').model is model


def test_paths_are_read_from_any_working_directory(model, arrays, tmp_path, monkeypatch):
    Image.fromarray(arrays[0]).save(tmp_path / 'image.png')
    monkeypatch.chdir(tmp_path)
    (result,) = Predictor(model).predict(Path('image.png'))
    assert result.path == 'image.png'


# -- the model that is lent ----------------------------------------------------------------------------------------


def test_text_is_encoded_once_for_all_calls(model, arrays, monkeypatch):
    predictor = Predictor(model.train().eval())
    expected = [result.scores for result in predictor.predict(arrays[:2])]

    def refuse(*given):
        raise AssertionError('the text tower ran')

    monkeypatch.setattr(model.text_encoder, 'forward', refuse)
    found = [next(predictor.predict(image)).scores for image in arrays[:2]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('to_the_end', [True, False])
def test_a_model_that_is_being_trained_stays_in_training_mode(model, arrays, to_the_end):
    results = Predictor(model.train(), batch_size=1).predict(arrays[:2])
    next(results)
    assert not model.training
    if to_the_end:
        list(results)
    else:
        results.close()
    assert model.training
    model.eval()
