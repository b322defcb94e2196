"""An ONNX file in place of a model: the same predictions, and one line for what is no such file."""

import csv
import io
import json
import shutil
import sys
from contextlib import redirect_stdout

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from cssa_mm.apis.exporting.onnx_scorer import OnnxScorer
from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.apis.predictor import Predictor
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.cli.main import main
from cssa_mm.errors import CheckpointError, ConfigError, DataError, ToolboxError


@pytest.fixture
def edited(files, tmp_path):
    """edited(change) -> the path of a copy of the ResNet's file that a function has changed."""

    def make(change):
        file = onnx.load(str(files['rn'].path))
        change(file)
        onnx.save(file, str(tmp_path / 'edited.onnx'))
        return tmp_path / 'edited.onnx'

    return make


def set_property(key, value):
    def change(file):
        properties = {entry.key: entry.value for entry in file.metadata_props} | {key: value}
        onnx.helper.set_model_props(file, {key: value for key, value in properties.items() if value is not None})

    return change


@pytest.mark.parametrize('tower', ['rn', 'vit', 'timm'])
def test_a_predictor_says_the_same_of_both(files, tower):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + 9 * i, 90 - 7 * i, 3), dtype=np.uint8) for i in range(5)]
    ours = list(Predictor(OnnxScorer(files[tower].path), batch_size=2).predict(images))
    theirs = list(Predictor(files[tower].model, batch_size=3).predict(images))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-4)
        np.testing.assert_allclose(one.raw_scores, other.raw_scores, rtol=0, atol=1e-4)
        assert one.labels == other.labels
    assert len({tuple(one.labels) for one in theirs}) > 0


def test_the_command_predicts_from_a_file_with_neighbours(files, tmp_path):
    (tmp_path / 'photos').mkdir()
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'photos' / f'{index}.png')
    words = ['predict', tmp_path / 'photos', '--checkpoint', files['vit'].path, '--out', tmp_path / 'out']
    with redirect_stdout(io.StringIO()):
        assert main([*map(str, words), '--batch-size', '2', '--workers', '0', '--scores', 'csv']) == 0
    expected = list(Predictor(files['vit'].model).predict(sorted((tmp_path / 'photos').iterdir())))
    rows = list(csv.DictReader((tmp_path / 'out' / 'scores.csv').open()))
    found = np.array([[float(row[name]) for name in files['vit'].model.class_names] for row in rows])
    np.testing.assert_allclose(found, np.stack([one.scores for one in expected]), rtol=0, atol=1e-4)
    facts = json.loads((tmp_path / 'out' / 'model.json').read_text())
    assert facts['neighbours'] == dict(images=40, megabytes=files['vit'].model.neighbours.megabytes)


def test_it_knows_what_the_model_knows(files):
    scorer, model = OnnxScorer(files['rn'].path), files['rn'].model
    assert scorer.class_names == model.class_names
    assert scorer.thresholds == model.thresholds
    assert scorer.view == model.view
    assert scorer.zero_shot_names == ()
    assert scorer.facts() == TorchScorer(model).facts()


def test_another_size_is_warned_of_once(files, monkeypatch):
    said = []
    monkeypatch.setattr('cssa_mm.apis.exporting.onnx_scorer.print_log', lambda text, *details: said.append(text))
    scorer = OnnxScorer(files['rn'].path)
    scorer(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert said == []
    scorer(torch.zeros(1, 3, 96, 64, dtype=torch.uint8))
    scorer(torch.zeros(1, 3, 96, 64, dtype=torch.uint8))
    (line,) = said
    assert 'model.onnx: found images of 96 x 64, expected 64 x 64, on which the model was trained' in line


def test_an_image_too_small_for_the_tower_is_one_line(files):
    scorer = OnnxScorer(files['rn'].path)
    with pytest.raises(DataError, match='found one of 1 x 1 pixels .*, too small for the tower, expected') as refused:
        scorer(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
    assert '\n' not in str(refused.value)


def test_a_tower_of_one_size_says_so(edited):
    def freeze(file):
        for dim in file.graph.input[0].type.tensor_type.shape.dim[2:]:
            dim.Clear()
            dim.dim_value = 64
        text = next(entry.value for entry in file.metadata_props if entry.key == 'preprocessing')
        set_property('preprocessing', text.replace('"any_size": true', '"any_size": false'))(file)

    scorer = OnnxScorer(edited(freeze))
    with pytest.raises(DataError, match='found images of 96 x 64, expected those of the training: this tower takes no'):
        scorer(torch.zeros(1, 3, 96, 64, dtype=torch.uint8))
    assert scorer(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).raw.shape == (1, 6)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('cssa_mm', None, 'no facts of a model of cssa_mm in its metadata'),
        ('cssa_mm', 'plain text', 'no facts of a model of cssa_mm'),
        ('cssa_mm', '{"class_names": ["a"]}', 'no facts of a model of cssa_mm'),
        ('preprocessing', '[]', 'no facts of a model of cssa_mm'),
    ],
)
def test_a_file_of_another_product_is_refused(edited, key, value, message):
    with pytest.raises(CheckpointError, match=rf"checkpoint '.*edited.onnx': found {message}.*; take another$"):
        OnnxScorer(edited(set_property(key, value)))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('"dog", ', '', 'found 6 scores for 5 class names'),
        ('"type": "View"', '"type": "os.system"', 'unknown component "os.system" as view.type'),
        ('"type": "View"', '"type": "Resize"', 'unknown component "Resize" as view.type'),
        ('"interpolation": "bicubic"', '"interpolation": "cubist"', "View: found interpolation='cubist'"),
        ('"interpolation": "bicubic"', '"sharpness": 3', 'a view that this version does not know'),
        ('"values": [0.3, ', '"values": [', 'found 5 thresholds, expected 6'),
    ],
)
def test_facts_that_make_no_sense_are_refused(edited, old, new, message):
    def change(file):
        text = next(entry.value for entry in file.metadata_props if entry.key == 'cssa_mm')
        assert old in text
        set_property('cssa_mm', text.replace(old, new, 1))(file)

    with pytest.raises(CheckpointError, match=message):
        OnnxScorer(edited(change))


def test_other_inputs_and_outputs_are_refused(edited):
    def swap(file):
        first, second = file.graph.output
        names = first.name, second.name
        for node in file.graph.node:
            for index, name in enumerate(node.output):
                if name in names:
                    node.output[index] = names[1 - names.index(name)]
            for index, name in enumerate(node.input):
                if name in names:
                    node.input[index] = names[1 - names.index(name)]
        first.name, second.name = names[::-1]

    with pytest.raises(CheckpointError, match='found the inputs and outputs image, raw_scores, scores'):
        OnnxScorer(edited(swap))


@pytest.mark.parametrize('content', [b'', b'nothing', 'half'])
def test_a_broken_file_is_one_line(files, tmp_path, content, capfd):
    whole = files['rn'].path.read_bytes()
    path = tmp_path / 'broken.onnx'
    path.write_bytes(whole[: len(whole) // 2] if content == 'half' else content)
    with pytest.raises(CheckpointError, match=r"^checkpoint '.*broken.onnx': found .*; take another$") as raised:
        OnnxScorer(path)
    assert '\n' not in str(raised.value)
    assert capfd.readouterr().err == ''


def test_a_missing_onnxruntime_is_one_line(files, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ToolboxError, match=r"^onnxruntime: found none .*pip install 'cssa_mm\[onnx\]'$"):
        open_scorer(files['rn'].path)


# -- opening ---------------------------------------------------------------------------------------------------


def test_whatever_holds_a_model_is_opened(files, run):
    assert isinstance(open_scorer(files['rn'].path), OnnxScorer)
    assert isinstance(open_scorer(str(files['rn'].path), device='cpu'), OnnxScorer)
    scorer = open_scorer(run.result.checkpoint, device='cpu')
    assert isinstance(scorer, TorchScorer)
    assert scorer.class_names == run.model.class_names


def test_a_device_that_onnxruntime_lacks_is_refused(files):
    with pytest.raises(ConfigError, match=r"device: found 'mps' for the ONNX file '.*', expected .*: cpu"):
        open_scorer(files['rn'].path, device='mps')


def test_a_tower_beside_an_onnx_file_is_refused(files):
    with pytest.raises(ConfigError, match="tower: found 'weights.pt' with '.*model.onnx', which holds its tower"):
        open_scorer(files['rn'].path, tower='weights.pt')


@pytest.mark.parametrize('name', ['missing.pth', 'missing.onnx'])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(CheckpointError, match=f'found no file .*{name}'):
        open_scorer(tmp_path / name)


def test_what_holds_no_model_is_refused(files, tmp_path):
    with pytest.raises(CheckpointError, match='found no config.json, expected a folder that cssa export --hub wrote'):
        open_scorer(tmp_path)
    shutil.copy(files['rn'].path, tmp_path / 'renamed.pth')
    with pytest.raises(CheckpointError, match='renamed.pth'):
        open_scorer(tmp_path / 'renamed.pth')
