"""CSSAInferencer, and mmpretrain's own doors to it: every way in gives the scores of the same pixels."""

import copy
import inspect
import io
import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
from mmpretrain.apis import BaseInferencer, ImageClassificationInferencer
from mmpretrain.structures import DataSample
from PIL import Image

import cssa_mm
from cssa_mm import CSSAInferencer, Predictor
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import CheckpointError, ConfigError, DataError, ImageError
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

ROOT = Path(__file__).parents[2]
NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
CALIBRATION = ScoreCalibration((2.0, 0.5, 1.5, 1.0, 3.0, 0.7), (0.5, -1.0, 0.0, 1.0, -0.3, 0.2), 'platt')


@pytest.fixture(scope='module')
def model(make_model, photos):
    """A model of 64 x 64 pixels, calibrated; its thresholds lie just below and above scores of the first photo."""
    model = make_model(view=dict(type='View', size=64)).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.linspace(-2, 2, 6))
        model.teacher.reset(model.scorer())
    model.calibration = CALIBRATION
    (first,) = Predictor(model).predict(photos[0])
    values = [float(score) + (-1) ** index * 1e-4 for index, score in enumerate(first.scores)]
    model.thresholds = ClassThresholds(tuple(values), 'f1', (4,) * 6, ('own',) * 6)
    return model


@pytest.fixture(scope='module')
def checkpoint(model, tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.fixture(scope='module')
def inferencer(model):
    return CSSAInferencer(model)


@pytest.fixture(scope='module')
def photos():
    """Five RGB images whose red and blue differ."""
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (50 + 9 * i, 90 - 7 * i, 3), dtype=np.uint8) for i in range(5)]
    for image in found:
        image[:, :, 2] //= 4
    return found


@pytest.fixture(scope='module')
def folder(photos, tmp_path_factory):
    """Every kind of lossless file, by name; `photo` is the first of the photos."""
    root = tmp_path_factory.mktemp('images')
    rgb = Image.fromarray(photos[0])
    alpha = Image.fromarray(np.random.default_rng(1).integers(0, 256, photos[0].shape[:2], dtype=np.uint8))
    transparent = rgb.copy()
    transparent.putalpha(alpha)
    kinds = dict(
        photo=rgb,
        palette=rgb.convert('P', palette=Image.ADAPTIVE, colors=16),
        transparent=transparent,
        grey=rgb.convert('L'),
        deep=Image.fromarray(np.random.default_rng(2).integers(0, 2**16, (40, 60), dtype=np.uint16)),
    )
    for name, image in kinds.items():
        image.save(root / f'{name}.png')
    return root


@pytest.fixture(scope='module')
def server(folder):
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *details: None
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{found.server_address[1]}'
        found.shutdown()


# -- every way in ----------------------------------------------------------------------------------------------


def by_predictor(model, image, order):
    options = {} if order is None else dict(channel_order=order)
    (found,) = Predictor(model, **options).predict(image)
    return found.scores, found.raw_scores, found.labels


def by_inferencer(model, image, order):
    (found,) = CSSAInferencer(model)(image, channel_order=order)
    return found['pred_scores'], found['raw_scores'], found['pred_classes']


def by_toolbox(model, image, order):
    (found,) = ImageClassificationInferencer(model)(image, channel_order=order)
    return found['pred_scores'], found['raw_scores'], found['pred_classes']


def by_samples(model, image, order):
    (found,) = CSSAInferencer(model, channel_order=order)(image, return_datasamples=True)
    labels = [NAMES[index] for index in found.pred_label]
    return found.pred_score.numpy(), found.raw_score.numpy(), labels


DOORS = [by_predictor, by_inferencer, by_toolbox, by_samples]
# name -> (the image, the order of its colours) from its file and its pixels.
WAYS = dict(
    path=lambda file, pixels: (str(file), None),
    pathlib=lambda file, pixels: (file, None),
    bytes=lambda file, pixels: (file.read_bytes(), None),
    pillow_file=lambda file, pixels: (Image.open(file), None),
    pillow=lambda file, pixels: (Image.fromarray(pixels), None),
    rgb_array=lambda file, pixels: (pixels, 'rgb'),
    bgr_array=lambda file, pixels: (np.ascontiguousarray(pixels[:, :, ::-1]), 'bgr'),
    bgr_view=lambda file, pixels: (pixels[:, :, ::-1], 'bgr'),
    tensor=lambda file, pixels: (torch.from_numpy(pixels).permute(2, 0, 1), None),
    bgr_tensor=lambda file, pixels: (torch.from_numpy(pixels).permute(2, 0, 1).flip(0), 'bgr'),
    float_tensor=lambda file, pixels: (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, None),
    # A picture or a file is RGB, whatever is said of arrays.
    path_beside_bgr=lambda file, pixels: (str(file), 'bgr'),
    pillow_beside_bgr=lambda file, pixels: (Image.fromarray(pixels), 'bgr'),
    bytes_beside_bgr=lambda file, pixels: (file.read_bytes(), 'bgr'),
)


def on_white(file):
    """Pixels of a file by Pillow and arithmetic alone."""
    image = Image.open(file)
    if image.mode == 'RGBA':
        both = np.asarray(image).astype(float)
        share = both[:, :, 3:] / 255
        return np.floor(both[:, :, :3] * share + 255 * (1 - share) + 0.5).astype(np.uint8)
    if image.mode.startswith('I'):
        return np.stack([np.asarray(image) // 257] * 3, axis=2).astype(np.uint8)
    return np.asarray(image.convert('RGB'))


@pytest.fixture(scope='module')
def expected(model, folder):
    """expected(kind) -> calibrated scores, raw scores, labels: by the model alone, from resized pixels."""

    def find(kind):
        pixels = np.asarray(Image.fromarray(on_white(folder / f'{kind}.png')).resize((64, 64), Image.BICUBIC))
        mean, std = (torch.tensor(getattr(model.backbone.clip, name)) for name in ('mean', 'std'))
        inputs = ((torch.from_numpy(pixels.copy()) / 255 - mean) / std).permute(2, 0, 1)[None]
        with torch.no_grad():
            raw = model.score(*model.backbone(inputs))[0].numpy()
        logit = np.log(raw.astype(np.float64)) - np.log1p(-raw.astype(np.float64))
        scores = 1 / (1 + np.exp(-(np.array(CALIBRATION.slope) * logit + np.array(CALIBRATION.offset))))
        return scores, raw, [name for name, s, t in zip(NAMES, scores, model.thresholds.values, strict=True) if s >= t]

    return find


def agrees(found, expected):
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert found[2] == expected[2]


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('way', WAYS)
def test_every_way_in_gives_the_same_scores(model, folder, photos, expected, way, door):
    image, order = WAYS[way](folder / 'photo.png', photos[0])
    found = door(model, image, order)
    agrees(found, expected('photo'))
    assert np.array_equal(found[0], by_predictor(model, photos[0], None)[0])  # bit by bit


def test_the_pixels_can_tell_a_swap_and_a_forgotten_calibration(model, photos, expected):
    right = expected('photo')
    assert np.abs(by_predictor(model, photos[0], 'bgr')[0] - right[0]).max() > 1e-3
    assert np.abs(right[0] - right[1]).max() > 0.05
    assert 0 < len(right[2]) < 6
    assert right[2] != [name for name, score in zip(NAMES, right[0], strict=True) if score >= 0.5]


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('kind', ['photo', 'palette', 'transparent', 'grey', 'deep'])
def test_an_address_gives_the_scores_of_every_kind_of_file(model, folder, server, expected, kind, door):
    agrees(door(model, f'{server}/{kind}.png', None), expected(kind))


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('kind', ['palette', 'transparent', 'grey', 'deep'])
def test_files_bytes_and_pillow_of_every_mode_agree(model, folder, expected, kind, door):
    file = folder / f'{kind}.png'
    for image in (file, file.read_bytes(), Image.open(file)):
        agrees(door(model, image, None), expected(kind))


@pytest.mark.parametrize('door', DOORS)
def test_grey_arrays_have_no_order(model, folder, expected, door):
    agrees(door(model, np.asarray(Image.open(folder / 'grey.png')), None), expected('grey'))


def test_an_address_that_is_not_there_is_named(inferencer, server):
    with pytest.raises(ImageError, match='nowhere.png: cannot be read'):
        inferencer(f'{server}/nowhere.png')


# -- how BGR is said -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', [CSSAInferencer, ImageClassificationInferencer])
def test_an_array_of_unknown_order_is_refused(model, photos, kind):
    for images in (photos[0], photos, np.stack([photos[0]] * 2)):
        with pytest.raises(DataError, match="found an array and no channel_order, expected channel_order='bgr'"):
            kind(model)(images)


def test_the_constructor_says_the_order_for_all_calls(model, photos):
    expected = by_predictor(model, photos[0], None)[0]
    inferencer = CSSAInferencer(model, channel_order='bgr')
    assert np.array_equal(inferencer(photos[0][:, :, ::-1])[0]['pred_scores'], expected)
    assert np.array_equal(inferencer(photos[0], channel_order='rgb')[0]['pred_scores'], expected)


@pytest.mark.parametrize(
    'address',
    ['foo://a.png', 'http://127.0.0.1/a b.png', 'https://[::1/a.png', 'http://127.0.0.1:1/a.png', 'a\0b.png', ''],
)
def test_an_address_that_cannot_be_read_is_told_in_one_line(model, inferencer, address):
    for call in (inferencer, lambda given: list(Predictor(model).predict(given))):
        with pytest.raises(ImageError, match='cannot be read .*, expected an image file') as error:
            call(address)
        assert str(error.value).isprintable()


@pytest.mark.parametrize('order', ['BGR', 'rgba', 3, ''])
def test_an_unknown_order_is_refused(model, inferencer, photos, order):
    for call in (
        lambda: inferencer(photos[0], channel_order=order),
        lambda: CSSAInferencer(model, channel_order=order),
        lambda: Predictor(model, channel_order=order),
    ):
        with pytest.raises(ConfigError, match="channel_order: found .*, expected 'rgb' or 'bgr'"):
            call()


# -- the interface -------------------------------------------------------------------------------------------------


def test_results_are_labels_above_thresholds(model, inferencer, photos):
    results = inferencer(photos, batch_size=2, channel_order='rgb')
    predictions = list(Predictor(model).predict(photos))
    assert len(results) == 5
    for result, prediction in zip(results, predictions, strict=True):
        assert set(result) == {'pred_scores', 'pred_labels', 'pred_classes', 'thresholds', 'raw_scores'}
        np.testing.assert_allclose(result['pred_scores'], prediction.scores, atol=1e-6)
        np.testing.assert_allclose(result['raw_scores'], prediction.raw_scores, atol=1e-6)
        above = result['pred_scores'] >= np.array(model.thresholds.values)
        assert result['pred_labels'] == np.flatnonzero(above).tolist()
        assert result['pred_classes'] == [NAMES[index] for index in result['pred_labels']] == prediction.labels
        assert result['thresholds'].tolist() == list(model.thresholds.values)
    assert len({tuple(result['pred_labels']) for result in results}) > 1


def test_samples_are_those_of_the_model(model, inferencer, folder):
    (found,) = inferencer(folder / 'photo.png', return_datasamples=True)
    assert isinstance(found, DataSample)
    assert found.img_path == str(folder / 'photo.png')
    view = model.view
    pixels = view.of_image(view.load(str(folder / 'photo.png'))).transpose(2, 0, 1)
    (expected,) = model.test_step(dict(inputs=[torch.from_numpy(pixels.copy())], data_samples=[DataSample()]))
    for field in ('pred_score', 'raw_score', 'pred_label'):
        assert torch.equal(found.get(field), expected.get(field))


def test_a_call_can_choose_labels_otherwise(inferencer, photos):
    (best,) = inferencer(photos[0], channel_order='rgb', top=2)
    assert set(best['pred_labels']) == set(np.argsort(best['pred_scores'])[-2:])
    assert np.isnan(best['thresholds']).all()
    (given,) = inferencer(photos[0], channel_order='rgb', threshold=0.0)
    assert given['pred_labels'] == list(range(6))
    assert given['thresholds'].tolist() == [0.0] * 6
    (sample,) = inferencer(photos[0], channel_order='rgb', threshold=0.0, return_datasamples=True)
    assert sample.pred_label.tolist() == list(range(6))
    assert inferencer(photos[0], channel_order='rgb')[0]['thresholds'].max() < 1  # this call alone


def test_classes_can_be_called_otherwise(model, photos):
    names = ['un', 'deux', 'trois', 'quatre', 'cinq', 'six']
    (result,) = CSSAInferencer(model, classes=names)(photos[0], channel_order='rgb')
    assert result['pred_classes'] == [names[index] for index in result['pred_labels']]
    for wrong in (names[:5], 'sixsix'):
        with pytest.raises(ConfigError, match='classes: found .*, expected 6 names'):
            CSSAInferencer(model, classes=wrong)


def test_a_folder_stands_for_its_images(inferencer, folder, tmp_path):
    names = sorted(folder.glob('*.png'))
    (folder / 'notes.txt').write_text('no image')
    for given in (folder, str(folder)):
        samples = inferencer(given, return_datasamples=True, batch_size=3)
        assert [sample.img_path for sample in samples] == [str(name) for name in names]
    with pytest.raises(DataError, match='found no images in this folder'):
        inferencer(tmp_path)


def test_images_that_keep_their_size_are_scored_in_any_batch(make_model, photos):
    model = make_model(view=dict(type='View', size=None)).eval()
    images = [photos[0], photos[0], photos[1], photos[2]]
    found = CSSAInferencer(model, channel_order='rgb')(images, batch_size=4)
    expected = [prediction.scores for prediction in Predictor(model, batch_size=1).predict(images)]
    np.testing.assert_allclose([result['pred_scores'] for result in found], expected, atol=1e-6)


def test_no_image_gives_no_result(inferencer):
    assert inferencer([]) == []


@pytest.mark.parametrize('images', [None, 7, [None], [[]]])
def test_what_is_no_image_is_refused_in_one_line(model, inferencer, images):
    for call in (inferencer, lambda given: list(Predictor(model).predict(given))):
        with pytest.raises(DataError, match='image: found a .*, expected a path') as error:
            call(images)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('options', [dict(batch_size=0), dict(batch_size=True), dict(show_directory='x')])
def test_wrong_arguments_are_refused(inferencer, photos, options):
    with pytest.raises(ConfigError, match='found'):
        inferencer(photos[0], channel_order='rgb', **options)


def test_an_image_too_small_for_the_tower_is_refused(make_model):
    model = make_model(view=dict(type='View', size=None)).eval()
    for door in (by_predictor, by_inferencer):
        with pytest.raises(DataError, match=r'found one of 6 x 90 pixels .* too small for the tower') as error:
            door(model, np.zeros((6, 90, 3), np.uint8), 'rgb')
        assert '\n' not in str(error.value)


# -- pictures ------------------------------------------------------------------------------------------------------


def test_pictures_show_the_labels_above_their_thresholds(inferencer, folder, photos, tmp_path, monkeypatch):
    drawn = []
    original = mmpretrain.visualization.UniversalVisualizer.visualize_cls

    def watched(self, image, sample, **options):
        drawn.append([options['classes'][index] for index in sample.pred_label])
        original(self, image, sample, **options)
        texts.append(self.ax_save.texts[-1].get_text())

    texts = []
    monkeypatch.setattr(mmpretrain.visualization.UniversalVisualizer, 'visualize_cls', watched)
    images = [folder / 'photo.png', photos[1], photos[2], folder / 'photo.png']
    results = inferencer(images, channel_order='rgb', show_dir=tmp_path / 'new' / 'pictures')
    assert drawn == [result['pred_classes'] for result in results]
    for text, result in zip(texts, results, strict=True):
        assert [name for name in NAMES if f'({name})' in text] == result['pred_classes']
    names = ['1.png', '2.png', 'photo.png', 'photo_3.png']
    assert sorted(path.name for path in (tmp_path / 'new' / 'pictures').iterdir()) == names
    inferencer([folder / 'photo.png'], show_dir=tmp_path, resize=100)
    assert min(Image.open(tmp_path / 'photo.png').size) == 100


def test_a_picture_has_the_colours_of_its_image(inferencer, tmp_path):
    blue = np.zeros((600, 600, 3), np.uint8)
    blue[:, :, 2] = 255
    Image.fromarray(blue).save(tmp_path / 'file.png')
    inferencer([tmp_path / 'file.png', blue[:, :, ::-1]], channel_order='bgr', show_dir=tmp_path / 'pictures')
    for name in ('file', '1'):
        with Image.open(tmp_path / 'pictures' / f'{name}.png') as picture:
            assert picture.convert('RGB').getpixel((580, 580)) == (0, 0, 255)


def test_a_folder_of_pictures_that_cannot_be_made_is_refused(inferencer, photos, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='show_dir: found .*file'):
        inferencer(photos[0], channel_order='rgb', show_dir=tmp_path / 'file')


# -- how a model is named ------------------------------------------------------------------------------------------


def test_checkpoints_and_configs_open_the_same_model(model, config, checkpoint, photos):
    expected = by_predictor(model, photos[0], None)
    sources = [
        lambda: CSSAInferencer(checkpoint),
        lambda: CSSAInferencer(str(checkpoint)),
        lambda: CSSAInferencer(str(config), pretrained=str(checkpoint)),
        lambda: CSSAInferencer(config, pretrained=checkpoint, device='cpu'),
        lambda: ImageClassificationInferencer(str(config), str(checkpoint), 'cpu'),
        lambda: ImageClassificationInferencer(model=str(config), pretrained=str(checkpoint)),
        lambda: ImageClassificationInferencer(str(checkpoint)),
        lambda: ImageClassificationInferencer(mmpretrain.get_model(str(config), pretrained=str(checkpoint))),
        lambda: ImageClassificationInferencer(cssa_mm.load_model(checkpoint)),
    ]
    for source in sources:
        inferencer = source()
        assert type(inferencer) is CSSAInferencer
        (found,) = inferencer(photos[0], channel_order='rgb')
        assert np.array_equal(found['pred_scores'], expected[0])
        assert found['pred_classes'] == expected[2]


def test_the_view_of_the_checkpoint_counts(model, config, checkpoint):
    assert mmpretrain.get_model(str(config)).view is None  # the config keeps the size of images
    assert CSSAInferencer(config, pretrained=checkpoint).model.view == model.view
    assert mmpretrain.get_model(str(config), pretrained=str(checkpoint)).view == model.view


def test_without_a_checkpoint_a_line_says_so_and_the_best_class_is_the_label(config, photos, caplog):
    for pretrained in (True, False, None):
        inferencer = CSSAInferencer(config, pretrained=pretrained)
        (found,) = inferencer([np.asarray(Image.fromarray(photos[0]))], channel_order='rgb')
        assert found['pred_labels'] == [int(found['pred_scores'].argmax())]
        assert np.isnan(found['thresholds']).all()
    messages = [record.message for record in caplog.records if 'found no checkpoint' in record.message]
    assert len(messages) in (0, 3)  # mmengine's logger may not propagate


def test_the_classes_of_a_checkpoint_serve_a_config_without_any(config, checkpoint, tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(config.read_text() + '\nmodel["class_names"] = None\n')
    assert CSSAInferencer(path, pretrained=checkpoint).classes == NAMES


def test_a_checkpoint_of_another_model_is_refused(config, checkpoint, make_model, tmp_path):
    other = make_model(head=dict(prompts=dict(num_context=2, initial_words='a'), shared_prompts=True))
    torch.save(dict(state_dict=other.state_dict()), tmp_path / 'other.pth')
    torch.save(dict(weights=1), tmp_path / 'none.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    for name, reason in dict(
        other='found a model trained with model.head.shared_prompts true, expected false',
        none='without a state_dict',
        text='cannot be loaded as plain data',
        missing='found no file',
    ).items():
        for open_it in (CSSAInferencer, ImageClassificationInferencer):
            with pytest.raises(CheckpointError, match=reason) as error:
                open_it(str(config), pretrained=str(tmp_path / f'{name}.pth'))
            assert '\n' not in str(error.value)
    with pytest.raises(CheckpointError, match='shared_prompts true, expected false'):
        mmpretrain.get_model(str(config), pretrained=str(tmp_path / 'other.pth'))


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(model='csa_demo'), "found neither a model nor a file .*Did you mean 'cssa_demo'"),
        (dict(model='missing.py'), 'found no file'),
        (dict(model='resnet18_8xb32_in1k'), "found 'resnet18_8xb32_in1k', expected a CSSAClassifier"),
        (dict(model=None), 'found a NoneType, expected a CSSAClassifier'),
        (dict(model=torch.nn.Linear(1, 1)), 'found a Linear, expected a CSSAClassifier'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_model_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        CSSAInferencer(**given)


def test_an_onnx_file_is_opened_as_such(model, tmp_path, monkeypatch, photos):
    path = tmp_path / 'model.onnx'
    path.touch()
    monkeypatch.setattr('cssa_mm.apis.model_sources.open_scorer', lambda found, device: TorchScorer(model))
    for source in (CSSAInferencer, ImageClassificationInferencer):
        (found,) = source(str(path))(photos[0], channel_order='rgb')
        assert np.array_equal(found['pred_scores'], by_predictor(model, photos[0], None)[0])


def test_arguments_that_contradict_each_other_are_refused(model, checkpoint):
    with pytest.raises(ConfigError, match='pretrained: found .* beside the checkpoint'):
        CSSAInferencer(checkpoint, pretrained=checkpoint)
    for source in (model, checkpoint):
        with pytest.raises(ConfigError, match="found the option 'backbone'"):
            CSSAInferencer(source, backbone=dict())
    with pytest.raises(ConfigError, match="device: found 'tpu'"):
        CSSAInferencer(checkpoint, device='tpu')


# -- mmpretrain's doors --------------------------------------------------------------------------------------------


def test_models_of_others_keep_their_inferencer(photos):
    image = np.ascontiguousarray(photos[0])
    found = ImageClassificationInferencer('resnet18_8xb32_in1k', pretrained=False, device='cpu')
    assert type(found) is ImageClassificationInferencer
    (result,) = found(image)
    assert set(result) == {'pred_scores', 'pred_label', 'pred_score', 'pred_class'}
    assert result['pred_label'] == int(result['pred_scores'].argmax())
    other = ImageClassificationInferencer(mmpretrain.get_model('resnet18_8xb32_in1k'), classes=['x'] * 1000)
    assert type(other) is ImageClassificationInferencer
    assert other(image)[0]['pred_class'] == 'x'
    own = type('Own', (ImageClassificationInferencer,), {})
    assert type(own('resnet18_8xb32_in1k', pretrained=False)) is own


def test_the_toolbox_sees_the_signature_that_it_knows():
    found = inspect.signature(ImageClassificationInferencer).parameters
    assert list(found) == ['model', 'pretrained', 'device', 'classes', 'kwargs']
    assert set(found) <= set(inspect.signature(CSSAInferencer).parameters)
    assert issubclass(CSSAInferencer, BaseInferencer)


def test_inference_model_knows_every_config(photos, monkeypatch):
    task = 'Image Classification'
    names = mmpretrain.list_models('cssa')
    assert names == mmpretrain.list_models('cssa', task=task)
    assert set(names) <= set(ImageClassificationInferencer.list_models())
    result = mmpretrain.inference_model('cssa_demo', photos[0], channel_order='rgb', top=3, device='cpu')
    assert len(result['pred_classes']) == 3


def test_inference_model_takes_models_and_configs_of_any_origin(model, config, checkpoint, folder):
    expected = by_predictor(model, folder / 'photo.png', None)
    built = mmpretrain.get_model(str(config), pretrained=str(checkpoint))
    for given in (cssa_mm.load_model(checkpoint), built, copy.deepcopy(built)):
        found = mmpretrain.inference_model(given, str(folder / 'photo.png'))
        np.testing.assert_allclose(found['pred_scores'], expected[0], atol=1e-6)
        assert found['pred_classes'] == expected[2]
    assert mmpretrain.get_model('cssa_demo')._metainfo.name == 'cssa_demo'


def test_get_model_with_and_without_a_checkpoint(config, checkpoint, model):
    with pytest.warns(UserWarning, match='Unable to find pre-defined checkpoint'):
        untrained = mmpretrain.get_model('cssa_demo', pretrained=True)
    for found in (untrained, mmpretrain.get_model('cssa_demo', pretrained=False)):
        assert found.calibration.rule == 'none'
        assert found.thresholds.rule == 'default'
    trained = mmpretrain.get_model(str(config), pretrained=str(checkpoint))
    assert not trained.training
    assert trained.thresholds == model.thresholds
    assert trained.calibration == model.calibration


def test_a_model_that_was_only_built_gives_each_image_its_best_class(photos):
    """.5 on scores that no label has calibrated would give it every class, or none."""
    built = mmpretrain.get_model('cssa_demo', pretrained=False)
    (result,) = cssa_mm.CSSAInferencer(built)(photos[0], channel_order='rgb')
    assert result['pred_labels'] == [int(result['pred_scores'].argmax())]
    assert np.isnan(result['thresholds']).all()


FRESH = """
import json, sys
import cssa_mm
import mmpretrain
checkpoint, image = sys.argv[1:]
model = mmpretrain.get_model('cssa_demo', pretrained=checkpoint)
inferencer = mmpretrain.ImageClassificationInferencer('cssa_demo', pretrained=checkpoint)
results = [
    mmpretrain.inference_model('cssa_demo', image, pretrained=checkpoint),
    mmpretrain.inference_model(model, image),
    inferencer(image)[0],
    cssa_mm.CSSAInferencer(checkpoint)(image)[0],
]
answers = [dict(scores=r['pred_scores'].tolist(), labels=r['pred_classes']) for r in results]
(own,) = cssa_mm.Predictor(cssa_mm.load_model(checkpoint)).predict(image)
answers.append(dict(scores=own.scores.tolist(), labels=own.labels))
print(json.dumps(answers))
"""


@pytest.mark.cli
def test_a_fresh_process_needs_the_import_alone(folder, tmp_path):
    model = mmpretrain.get_model('cssa_demo')
    num_classes = len(model.class_names)
    model.calibration = ScoreCalibration((0.5,) * num_classes, (-0.5,) * num_classes, 'platt')
    model.view = None
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'raw.pth')
    inferencer = CSSAInferencer('cssa_demo', pretrained=tmp_path / 'raw.pth')
    scores = inferencer(folder / 'photo.png')[0]['pred_scores']
    values = [float(score) + (0.01 if index % 3 else -0.01) for index, score in enumerate(scores)]
    model.thresholds = ClassThresholds(tuple(values), 'f1', (4,) * num_classes, ('own',) * num_classes)
    model.view = inferencer.model.view
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    command = [sys.executable, '-c', FRESH, str(tmp_path / 'model.pth'), str(folder / 'photo.png')]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == 5
    for answer in answers:
        assert answer['labels'] == [name for index, name in enumerate(model.class_names) if index % 3 == 0]
        np.testing.assert_allclose(answer['scores'], scores, atol=1e-6)


def test_bytes_of_a_stream_are_no_path(inferencer, folder):
    with pytest.raises(DataError, match='image: found a'):
        inferencer([io.BytesIO((folder / 'photo.png').read_bytes())])


def test_a_config_of_another_size_than_the_checkpoint_is_said(tiny_config, checkpoint, monkeypatch):
    said = []
    monkeypatch.setattr('cssa_mm.apis.model_sources.print_log', lambda text, *details: said.append(text))
    for size, count in ((64, 0), (32, 1)):
        inferencer = CSSAInferencer(tiny_config(**{'view.size': size}), pretrained=str(checkpoint), device='cpu')
        assert inferencer.predictor.scorer.view.size == (64, 64)
        assert len(said) == count
    assert 'found View(size=32' in said[0]
    assert 'images are scored on View(size=64' in said[0]
