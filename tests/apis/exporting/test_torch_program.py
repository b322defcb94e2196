"""A torch program: torch alone runs it, in any batch and size, with the scores of the predictor."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cssa_mm
from cssa_mm.apis.exporting.module import ExportModule
from cssa_mm.apis.exporting.torch_program import export_torch
from cssa_mm.apis.scorer import TorchScorer, model_facts
from cssa_mm.errors import CheckpointError, ConfigError

# A program as somebody writes it who has torch and nothing else.
ALONE = """
import json, sys
BLOCKED = ('cssa_mm', 'open_clip', 'mmengine', 'mmcv', 'mmpretrain', 'timm', 'torchvision')
for name in BLOCKED:
    sys.modules[name] = None
import numpy as np, torch
facts = {'cssa_mm.json': ''}
run = torch.export.load('model.pt2', extra_files=facts).module()
content = np.load('images.npz')
scores = {}
with torch.no_grad():
    for name in content.files:
        calibrated, raw = run(torch.from_numpy(content[name]))
        scores[name], scores['raw_' + name] = calibrated.numpy(), raw.numpy()
np.savez('scores.npz', **scores)
open('facts.json', 'w').write(facts['cssa_mm.json'])
assert not [name for name in BLOCKED if sys.modules.get(name)]
"""


def images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, height, width), dtype=np.uint8)


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
    """The program of cssa_plus with all its parts, run by torch alone: `model`, `result`, `scores`, `facts`."""
    folder = tmp_path_factory.mktemp('program')
    centring = dict(weight=0.7, vocabulary=['tree', 'river', 'cup'])
    prompts = dict(num_context=2, initial_words='a')
    model = trained(
        head=dict(prompts=prompts, shared_prompts=True, centring=centring),
        context_head=None,
        evidence=dict(type='DiscriminantEvidence'),
        neighbours=dict(type='Neighbours', k=4),
    )
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    result = export_torch(checkpoint=folder / 'model.pth', out=folder / 'model.pt2')
    sizes = dict(one=images(1, 64, 64), five=images(5, 64, 64), wide=images(2, 96, 160), large=images(3, 224, 128))
    np.savez(folder / 'images.npz', **sizes)
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    subprocess.run([sys.executable, '-c', ALONE], cwd=folder, check=True, env=environment, timeout=240)
    with np.load(folder / 'scores.npz') as content:
        scores = dict(content)
    facts = json.loads((folder / 'facts.json').read_text())
    return SimpleNamespace(
        model=model, result=result, sizes=sizes, scores=scores, facts=facts, path=folder / 'model.pt2'
    )


def test_torch_alone_gives_the_scores_of_the_predictor_in_any_batch_and_size(exported):
    scorer = TorchScorer(exported.model)
    for name, pixels in exported.sizes.items():
        expected = scorer(torch.from_numpy(pixels))
        np.testing.assert_allclose(exported.scores[name], expected.calibrated, rtol=0, atol=1e-6)
        np.testing.assert_allclose(exported.scores[f'raw_{name}'], expected.raw, rtol=0, atol=1e-6)
        assert not np.allclose(expected.calibrated, expected.raw, atol=1e-2)
    assert np.ptp(exported.scores['five'], axis=0).min() > 1e-4  # the images matter
    assert exported.result.difference <= 1e-6
    assert exported.result.takes_any_size


def test_neighbours_are_in_it_and_an_image_has_the_same_scores_alone(exported):
    neighbours = exported.model.neighbours
    line = f'It holds the features of 40 training images ({neighbours.megabytes:.1f} MB): they are no photos, but'
    assert line in exported.result.text()
    run, pixels = torch.export.load(exported.path).module(), torch.from_numpy(exported.sizes['five'])
    with torch.no_grad():
        alone = torch.cat([run(image[None])[1] for image in pixels]).numpy()
    np.testing.assert_allclose(alone, exported.scores['raw_five'], rtol=0, atol=5e-6)
    weight, neighbours.weight = neighbours.weight, 0.0
    without = TorchScorer(exported.model)(pixels).raw
    neighbours.weight = weight
    assert np.abs(without - alone).max() > 1e-3


def test_its_metadata_says_what_it_is(exported):
    facts = exported.facts
    assert json.loads(facts['class_names']) == exported.model.class_names
    assert json.loads(facts['thresholds']) == list(exported.model.thresholds.values)
    assert facts['torch'] == torch.__version__
    found, expected = json.loads(facts['cssa_mm']), model_facts(exported.model)
    assert found == json.loads(json.dumps(expected))
    assert f'torch {torch.__version__} or later' in exported.result.text()


def test_no_path_of_this_machine_is_written(exported, clip_dir):
    content = exported.path.read_bytes()
    assert str(cssa_mm.__path__[0]).encode() not in content
    assert str(clip_dir).encode() not in content
    assert b'site-packages' not in content


def test_a_vit_keeps_its_batch_free(make_model, backbone_config, tmp_path):
    model = make_model(backbone=backbone_config('tiny-vit'), view=dict(type='View', size=64)).eval()
    export_torch(checkpoint=model, out=tmp_path / 'vit.pt2')
    run = torch.export.load(tmp_path / 'vit.pt2').module()
    for pixels in (images(1, 64, 64), images(4, 64, 64), images(2, 96, 64)):
        expected = TorchScorer(model)(torch.from_numpy(pixels))
        with torch.no_grad():
            np.testing.assert_allclose(run(torch.from_numpy(pixels))[0], expected.calibrated, rtol=0, atol=1e-6)


def test_centring_is_in_the_program(exported):
    weight, pixels = exported.model.head.centring.weight, torch.from_numpy(exported.sizes['five'])
    kept = weight.clone()
    weight.zero_()
    without = TorchScorer(exported.model)(pixels).raw
    weight.copy_(kept)
    assert np.abs(without - exported.scores['raw_five']).max() > 1e-3


@pytest.mark.parametrize('name', ['model.pt', 'model', ''])
def test_another_ending_is_refused(make_model, tmp_path, name):
    with pytest.raises(ConfigError, match=r'ends in \.pt2'):
        export_torch(checkpoint=make_model(view=dict(type='View', size=64)), out=tmp_path / name)


def test_what_torch_cannot_trace_or_computes_otherwise_leaves_no_file(make_model, tmp_path, monkeypatch):
    model = make_model(view=dict(type='View', size=64)).eval()

    def refuses(*details, **options):
        raise NotImplementedError('Eq(s0, 3)\ncannot be solved')

    monkeypatch.setattr('torch.export.export', refuses)
    with pytest.raises(CheckpointError, match=r'cannot trace this model \(Eq\(s0, 3\) cannot be solved\); take --onnx'):
        export_torch(checkpoint=model, out=tmp_path / 'model.pt2')
    module = ExportModule(model)
    monkeypatch.setattr(
        'torch.export.export', lambda *details, **options: SimpleNamespace(graph_module=torch.nn.Module())
    )
    monkeypatch.setattr('torch.export.save', lambda program, file, **options: file.write(b'program'))
    monkeypatch.setattr(
        'torch.export.load',
        lambda path: SimpleNamespace(module=lambda: lambda pixels: [score + 2e-6 for score in module(pixels)]),
    )
    with pytest.raises(CheckpointError, match='scores that differ by 2e-06') as error:
        export_torch(checkpoint=model, out=tmp_path / 'model.pt2')
    assert '\n' not in str(error.value)
    assert list(tmp_path.iterdir()) == []
