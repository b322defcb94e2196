"""Models whose every part says something, and three of them as ONNX files, exported once."""

import io
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest
import torch

from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

PROMPTS = dict(num_context=2, initial_words='a')
PLUS = dict(
    head=dict(prompts=PROMPTS, shared_prompts=True), context_head=None, evidence=dict(type='DiscriminantEvidence')
)
CENTRED = PLUS | dict(head=PLUS['head'] | dict(centring=dict(weight=0.7, vocabulary=['tree', 'river', 'cup'])))
FED = dict(context_head=dict(num_contexts=2, feedback=True))
NEIGHBOURS = dict(neighbours=dict(type='Neighbours', k=4))
SLOPES, OFFSETS = (0.6, 0.9, 1.1, 1.5, 2.0, 1.0), (-0.5, 0.3, 0.0, 0.7, -1.0, 0.2)
# What a training leaves: teacher and student differ, some classes are taught, contexts and evidence weigh.


def as_if_trained(model, seed: int = 3):
    """Give every learned number a value of its own, and the model a calibration and thresholds."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor, scale: float = 1.0):
        return scale * torch.randn(tensor.shape, generator=generator)

    with torch.no_grad():
        for name, buffer in model.teacher.named_buffers():
            if name != 'steps':
                buffer += noise(buffer, 0.3)
        model.is_taught[1] = False
        if model.evidence is not None:
            evidence = model.evidence
            for name in ('similarity_mean', 'anchor_mean', 'offset', 'bias', 'direction'):
                getattr(evidence, name).copy_(noise(getattr(evidence, name)))
            for name in ('similarity_scale', 'anchor_scale', 'scale'):
                getattr(evidence, name).copy_(0.5 + noise(getattr(evidence, name)).abs())
            evidence.weights.copy_(torch.tensor([0.4, 0.5, 0.9]))
            evidence.is_fitted.fill_(True)
    model.unfold()
    if model.neighbours is not None:
        store_photos(model.eval(), generator)
    model.calibration = ScoreCalibration(SLOPES, OFFSETS, 'platt')
    model.thresholds = ClassThresholds((0.3, 0.4, 0.5, 0.6, 0.7, 0.45), 'f1', (9, 8, 7, 6, 5, 4), ('own',) * 6)
    model.unfold()
    return model.eval()


@torch.no_grad()
def store_photos(model, generator, count: int = 40) -> None:
    """Store coloured surfaces with noise and the model's readings of them, as training does."""
    surface = 255 * torch.rand(count, 3, 1, 1, generator=generator)
    photos = (surface + 40 * torch.randn(count, 3, 64, 64, generator=generator)).clamp(0, 255).to(torch.uint8)
    local, pooled = model.backbone(model.data_preprocessor(dict(inputs=list(photos)))['inputs'])
    rows = model.neighbours.store(pooled)
    if model.evidence is None:
        model.neighbours.fit_logits(model.alignment_of(local, pooled).logits, pooled, rows)
    else:
        model.neighbours.keep(model.components(local, pooled)[[0, 2]].transpose(0, 1)[rows])


@pytest.fixture(scope='session')
def trained(make_model, backbone_config):
    """trained('tiny-rn', **overrides) -> a model of 64 x 64 as a training could leave it."""

    def make(tower: str = 'tiny-rn', backbone: dict | None = None, view: dict | None = None, **overrides):
        overrides |= dict(backbone=backbone_config(tower, **(backbone or {})))
        return as_if_trained(make_model(view=view or dict(type='View', size=64), **overrides))

    return make


@pytest.fixture(scope='session')
def files(trained, tmp_path_factory):
    """One model and its ONNX file of each family of towers: 'rn' by the command, 'vit' and 'timm' with evidence.

    'rn' and 'vit' have neighbours; the similarities of 'timm' are centred.

    An export takes torch many seconds: every test reads these.
    """
    from cssa_mm.apis.exporting.onnx_file import export_onnx
    from cssa_mm.cli.main import main

    folder = tmp_path_factory.mktemp('onnx')
    models = dict(
        rn=trained('tiny-rn', **FED, **NEIGHBOURS),
        vit=trained('tiny-vit', **PLUS, **NEIGHBOURS),
        timm=trained('tiny-timm', **CENTRED),
    )
    paths = {name: folder / name / 'model.onnx' for name in models}
    torch.save(dict(state_dict=models['rn'].state_dict()), folder / 'model.pth')
    words = ['export', '--onnx', '--checkpoint', folder / 'model.pth', '--out', paths['rn']]
    with redirect_stdout(io.StringIO()) as printed:
        assert main(list(map(str, words))) == 0
    results = {name: export_onnx(checkpoint=models[name], out=paths[name]) for name in ('vit', 'timm')}
    return {
        name: SimpleNamespace(
            model=model, path=paths[name], text=results[name].text() if name in results else printed.getvalue()
        )
        for name, model in models.items()
    }
