"""ONNX files: their scores in onnxruntime are torch's, in any batch and size, and they say what they mean."""

import copy
import json
import logging
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cssa_mm.apis.exporting import onnx_file
from cssa_mm.apis.exporting.module import checked_module
from cssa_mm.apis.exporting.onnx_file import export_onnx
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import CheckpointError, ConfigError, ToolboxError
from cssa_mm.models.thresholds import ClassThresholds

TOWERS = ['rn', 'vit', 'timm']
SIZES = [(64, 64), (128, 64), (96, 160)]


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])


@pytest.mark.parametrize('tower', TOWERS)
@pytest.mark.parametrize('batch', [1, 5])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_scores_are_those_of_the_model(files, tower, batch, size):
    file = files[tower]
    rng = np.random.default_rng(batch)
    surface = rng.integers(0, 256, (batch, 3, 1, 1)) + rng.normal(0, 30, (batch, 3, *size))
    pixels = surface.clip(0, 255).astype(np.uint8)
    found = session_of(file.path).run(['scores', 'raw_scores'], dict(image=pixels))
    expected = TorchScorer(file.model)(torch.from_numpy(pixels))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert ours.shape == (batch, 6)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.abs(expected.calibrated - expected.raw).max() > 0.03


@pytest.mark.parametrize('tower', TOWERS)
def test_an_image_has_the_same_scores_alone_and_in_a_batch(files, tower):
    pixels = np.random.default_rng(2).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    session = session_of(files[tower].path)
    together = session.run(None, dict(image=pixels))
    alone = [session.run(None, dict(image=pixels[row : row + 1])) for row in range(6)]
    for part in (0, 1):
        np.testing.assert_allclose(together[part], np.concatenate([each[part] for each in alone]), rtol=0, atol=1e-6)


@pytest.mark.parametrize('tower', ['rn', 'vit'])
def test_stored_images_lie_in_the_file_in_float16(files, tower):
    neighbours = files[tower].model.neighbours
    kept = {
        tuple(tensor.dims) for tensor in onnx.load(str(files[tower].path)).graph.initializer if tensor.data_type == 10
    }
    assert tuple(neighbours.values.shape) in kept
    found = session_of(files[tower].path).get_modelmeta().custom_metadata_map
    assert json.loads(found['cssa_mm'])['neighbours'] == dict(images=40, megabytes=neighbours.megabytes)
    assert 'It holds the features of 40 training images (0.0 MB).' in found['description']


def test_centring_is_in_the_file(files):
    file = files['timm']
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    (raw,) = session_of(file.path).run(['raw_scores'], dict(image=pixels))
    model = copy.deepcopy(file.model)
    np.testing.assert_allclose(raw, TorchScorer(model)(torch.from_numpy(pixels)).raw, rtol=0, atol=1e-4)
    model.head.centring.weight.zero_()
    assert np.abs(raw - TorchScorer(model)(torch.from_numpy(pixels)).raw).max() > 1e-2


@pytest.mark.parametrize('tower', TOWERS)
def test_it_is_one_valid_file_that_takes_photos_as_they_are(files, tower):
    path = files[tower].path
    assert sorted(file.name for file in path.parent.iterdir()) == ['model.onnx', 'run_onnx.py']
    file = onnx.load(str(path))
    onnx.checker.check_model(file)
    assert [entry.version for entry in file.opset_import if entry.domain == ''] == [18]
    assert {entry.domain for entry in file.opset_import} <= {'', 'ai.onnx'}
    (image,) = session_of(path).get_inputs()
    assert (image.name, image.type) == ('image', 'tensor(uint8)')
    assert [isinstance(part, str) for part in image.shape] == [True, False, True, True]


def test_its_metadata_say_what_goes_in_and_what_comes_out(files):
    file = files['rn']
    found = session_of(file.path).get_modelmeta().custom_metadata_map
    assert json.loads(found['class_names']) == file.model.class_names
    assert json.loads(found['thresholds']) == list(file.model.thresholds.values)
    steps = json.loads(found['preprocessing'])
    assert (steps['resize'], steps['interpolation'], steps['library']) == ([64, 64], 'bicubic', 'pillow')
    assert (steps['layout'], steps['channels'], steps['dtype'], steps['range']) == ('NCHW', 'RGB', 'uint8', [0, 255])
    assert (steps['ground'], steps['any_size']) == ([255, 255, 255], True)
    facts = json.loads(found['cssa_mm'])
    assert facts == json.loads(json.dumps(TorchScorer(file.model).facts()))
    assert facts['input_size'] == [64, 64]
    assert 'resized to height 64, width 64 (bicubic of pillow, no crop)' in found['description']
    assert 'Opset 18' in found['description']


@pytest.mark.parametrize('tower', TOWERS)
def test_what_was_written_is_said_in_two_lines(files, tower):
    path = files[tower].path
    first, second, *stored = files[tower].text.splitlines()
    size = path.stat().st_size / 1e6
    begin = f'{path}: {size:.1f} MB, opset 18, any batch, images of any size (trained on 64 x 64); scores differ '
    assert first.startswith(begin)
    assert float(first.rsplit(' ', 1)[1]) < 1e-4
    assert second.endswith(f'python {path.with_name("run_onnx.py")} {path} photo.jpg')
    line = 'It holds the features of 40 training images (0.0 MB): they are no photos, but describe them'
    assert stored == ([] if tower == 'timm' else [line])


# -- what is refused, and leaves nothing -----------------------------------------------------------------------


@pytest.fixture
def fast(monkeypatch, files):
    """Exports copy the file of the ResNet in place of the minute that torch takes."""
    content = files['rn'].path.read_bytes()
    monkeypatch.setattr(onnx_file, '_write', lambda module, path: path.write_bytes(content))
    return files['rn'].model


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_with_other_scores_is_not_written(fast, tmp_path, monkeypatch):
    """The graph of a model whose calibration is another."""
    calibration = fast.calibration._replace(offset=tuple(value + 1e-3 for value in fast.calibration.offset))
    monkeypatch.setattr(fast, 'calibration', calibration)
    (tmp_path / 'model.onnx').write_bytes(b'older')
    with pytest.raises(CheckpointError, match=r'model.onnx: found scores that differ by 0.000\d+ from those of torch'):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    assert (tmp_path / 'model.onnx').read_bytes() == b'older'
    assert names_in(tmp_path) == ['model.onnx']


def test_scores_that_are_not_finite_are_refused(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, 'largest_difference', lambda *_: float('nan'))
    with pytest.raises(CheckpointError, match='differ by nan'):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    assert names_in(tmp_path) == []


@pytest.mark.parametrize('frozen', ['batch', 'size'])
def test_a_batch_or_size_that_an_exporter_froze_is_seen(fast, tmp_path, monkeypatch, frozen):
    """A graph that takes its example alone: the check runs other batches and sizes."""

    def write(module, path):
        file = onnx.load(str(fast_path))
        dims = file.graph.input[0].type.tensor_type.shape.dim
        for index in (0,) if frozen == 'batch' else (2, 3):
            dims[index].Clear()
            dims[index].dim_value = 2 if frozen == 'batch' else 64
        onnx.save(file, str(path))

    (fast_path := tmp_path / 'source.onnx').touch()
    onnx_file._write(None, fast_path)
    monkeypatch.setattr(onnx_file, '_write', write)
    with pytest.raises(CheckpointError, match='found a graph that onnxruntime cannot run'):
        export_onnx(checkpoint=fast, out=tmp_path / 'out' / 'model.onnx')
    assert names_in(tmp_path / 'out') == []


def test_a_model_too_large_for_one_file_is_refused_at_once(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, 'LARGEST', 1e6)
    with pytest.raises(ConfigError, match=r'found a model of 0.0 GB, expected at most 0.0 GB, which one ONNX file'):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    assert names_in(tmp_path) == []


def test_stored_images_that_make_it_too_large_are_named(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, 'LARGEST', 1e4)
    words = r'0.0 GB \(0.0 GB of stored images: fewer by model.neighbours.max_images\), expected'
    with pytest.raises(ConfigError, match=words):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    assert names_in(tmp_path) == []


@pytest.mark.parametrize('name', ['model.pth', 'model', 'folder.onnx'])
def test_the_name_must_be_that_of_an_onnx_file(fast, tmp_path, name):
    (tmp_path / 'folder.onnx').mkdir()
    with pytest.raises(ConfigError, match=r'out: found .*, expected the name of a file that ends in .onnx'):
        export_onnx(checkpoint=fast, out=tmp_path / name)


def test_a_program_of_the_user_s_own_is_not_replaced(fast, tmp_path):
    (tmp_path / 'run_onnx.py').write_text('print("mine")')
    with pytest.raises(ConfigError, match=r'run_onnx.py. of another kind'):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    assert (tmp_path / 'run_onnx.py').read_text() == 'print("mine")'
    export_onnx(checkpoint=fast, out=tmp_path / 'new' / 'model.onnx')
    assert export_onnx(checkpoint=fast, out=tmp_path / 'new' / 'model.onnx').path.is_file()  # ours is


@pytest.mark.parametrize('missing', ['onnx', 'onnxscript', 'onnxruntime'])
def test_a_missing_package_is_one_line(fast, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ToolboxError, match=rf"^{missing}: found none .*pip install 'cssa_mm\[onnx\]'$"):
        export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'nothing')
    with pytest.raises(CheckpointError, match='a.pth'):
        export_onnx(checkpoint=tmp_path / 'a.pth', out=tmp_path / 'model.onnx')
    assert names_in(tmp_path) == ['a.pth']


def test_a_part_that_scores_in_its_own_way_is_refused(trained, monkeypatch):
    model = trained()
    logits = model.logits
    model.logits = lambda local, pooled, who='ema': logits(local, pooled, who) * 0.9
    with pytest.raises(ConfigError, match=r'export: found scores that differ by 0.0\d+ from those of the model'):
        checked_module(model)


def test_a_tower_in_half_precision_is_warned_of(trained, monkeypatch):
    said = []
    monkeypatch.setattr('cssa_mm.apis.exporting.module.print_log', lambda text, *details: said.append((text, details)))
    checked_module(trained(backbone=dict(precision='bf16')))
    ((text, details),) = said
    assert details == ('current', logging.WARNING)
    assert text.startswith('export: computes in float32 in place of bf16, in which the model was trained; scores of a')


def test_a_model_in_training_mode_stays_in_it(trained):
    model = trained().train()
    assert not checked_module(model).training
    assert model.training


def test_an_untrained_model_has_no_thresholds_and_says_so(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(fast, 'thresholds', ClassThresholds.none(6))
    result = export_onnx(checkpoint=fast, out=tmp_path / 'model.onnx')
    found = session_of(result.path).get_modelmeta().custom_metadata_map
    assert json.loads(found['thresholds']) == [None] * 6
    assert 'the class with the highest score' in found['description']
    assert 'no thresholds, as the model was never trained' in result.text()
