"""Checkpoints of format 1: what they lacked is read from the config in them, and nothing of it is run."""

import copy
import json
import shutil

import pytest
import torch
from mmengine.config import Config

import cssa_mm
from cssa_mm.apis.conversion import convert_checkpoint
from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError
from cssa_mm.models.description import KEY, read_description

RESIZE = dict(type='Resize', scale=(96, 64), backend='pillow', interpolation='bicubic')


def scores_of(model):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.stack([model.score(*model.backbone(images), who) for who in ('ema', 'student')])


def as_bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def old_config(config: Config, *resize: dict) -> Config:
    """The config as it was written before there were views."""
    old = copy.deepcopy(config.to_dict())
    del old['view'], old['model']['view']
    for name in ('train', 'val', 'test'):
        dataset = old[f'{name}_dataloader']['dataset']
        kept = [step for step in dataset['pipeline'] if step['type'] != 'View']
        dataset['pipeline'] = [dict(type='LoadRGBImage'), *resize, *kept]
    return Config(old)


@pytest.fixture
def make_old(tmp_path):
    """make_old(run) -> the path of a run's checkpoint in format 1; `cfg` and `said` replace parts of it."""

    def make(run, *resize, cfg=None, said=None):
        content = torch.load(run.result.checkpoint, weights_only=True)
        new = read_description(content['state_dict'])
        tower = {key: new['tower'][key] for key in ('model_name', 'weights_hash')}
        old = json.dumps(dict(tower=tower, class_names=new['class_names'])) if said is None else said
        content['state_dict'][KEY] = as_bytes(old)
        text = old_config(run.result.runner.cfg, *resize).pretty_text if cfg is None else cfg
        content['meta']['cfg'] = text
        torch.save(content, tmp_path / 'epoch_2.pth')
        return tmp_path / 'epoch_2.pth'

    return make


def refusal(path, **options) -> str:
    with pytest.raises(CheckpointError) as error:
        convert_checkpoint(path, **options)
    assert '\n' not in str(error.value)
    assert str(error.value).startswith('checkpoint: found ')
    assert not list(path.parent.glob('*-format*'))
    return str(error.value)


@pytest.mark.smoke
@pytest.mark.parametrize('kind', ['run', 'plus_run'])
def test_a_converted_checkpoint_opens_alone_and_scores_as_before(kind, request, make_old, tmp_path, monkeypatch):
    trained = request.getfixturevalue(kind)
    old = make_old(trained)
    before = old.read_bytes()
    path = convert_checkpoint(old)
    assert path == tmp_path / 'epoch_2-format4.pth'
    assert old.read_bytes() == before
    alone = tmp_path / 'alone'
    alone.mkdir()
    shutil.move(path, alone / 'model.pth')
    monkeypatch.chdir(alone)
    model = cssa_mm.load_model('model.pth')
    assert torch.equal(scores_of(model), scores_of(trained.model))
    # Format 1 knew neither thresholds nor calibration.
    later = ('calibration', 'thresholds', 'zero_shot')
    ours, theirs = ({k: v for k, v in m.description().items() if k not in later} for m in (model, trained.model))
    assert ours == theirs
    assert (model.thresholds.rule, model.calibration.rule, model.zero_shot) == ('default', 'none', None)


def test_the_view_is_that_of_the_test_pipeline(run, make_old, tmp_path):
    cases = [
        ((RESIZE,), View(size=(64, 96))),  # mmcv's scale is (width, height)
        ((RESIZE | dict(scale=48),), View(size=48)),
        (
            (dict(type='Resize', scale=(64, 64)),),
            View(size=64, interpolation='bilinear', backend='cv2'),
        ),  # mmcv's defaults
        ((), View(size=None)),
    ]
    for number, (resize, expected) in enumerate(cases):
        path = convert_checkpoint(make_old(run, *resize), out=tmp_path / 'new' / f'{number}.pth')
        assert path == tmp_path / 'new' / f'{number}.pth'
        assert cssa_mm.load_model(path).view == expected


@pytest.mark.parametrize(
    'resize',
    [
        (dict(type='CenterCrop', crop_size=64),),
        (RESIZE | dict(keep_ratio=True),),
        (dict(type='Resize', scale_factor=2.0),),
        (RESIZE, dict(type='CenterCrop', crop_size=64)),
    ],
)
def test_a_pipeline_that_is_no_view_is_refused(run, make_old, resize):
    assert 'with the test pipeline LoadRGBImage, ' in refusal(make_old(run, *resize))


PLANTED = [
    'import os\nos.system("touch {marker}")\n',
    'model = __import__("os").system("touch {marker}")\n',
    'model = dict(backbone=dict(pretrained=__import__("os").system("touch {marker}")))\n',
    'model = dict(backbone=dict(), head=dict(type="os.system", command="touch {marker}"))\n',
    'model = dict(backbone=dict(), head=(lambda: open("{marker}", "w"))())\n',
    'model = dict(*[open("{marker}", "w")])\n',
    'dict = print\nmodel = dict(backbone=[open("{marker}", "w") for _ in "a"])\n',
]


@pytest.mark.parametrize('text', PLANTED)
def test_the_text_of_a_config_is_never_run(run, make_old, tmp_path, text):
    marker = tmp_path / 'marker'
    refusal(make_old(run, cfg=text.format(marker=marker)))
    assert not marker.exists()


def test_statements_beside_the_model_are_not_run_either(run, make_old, tmp_path):
    marker = tmp_path / 'marker'
    text = old_config(run.result.runner.cfg).pretty_text
    planted = f'__import__("os").system("touch {marker}")\nmore = open({str(marker)!r}, "w")\n{text}'
    path = convert_checkpoint(make_old(run, cfg=planted))
    assert torch.equal(scores_of(cssa_mm.load_model(path)), scores_of(run.model))
    assert not marker.exists()


def test_a_config_may_write_its_dicts_in_any_way(run, make_old):
    old = old_config(run.result.runner.cfg).to_dict()
    expected = cssa_mm.load_model(convert_checkpoint(make_old(run))).description()
    for form in ('{key} = {value!r}', '{key} = dict({value!r})'):
        texts = [form.format(key=key, value=old[key]) for key in ('model', 'val_dataloader')]
        path = convert_checkpoint(make_old(run, cfg='\n'.join(texts)))
        assert cssa_mm.load_model(path).description() == expected


@pytest.mark.parametrize('text', ['', 'model = dict(', 'model = 5', 'a = 1', 'model = dict(backbone=None)', '(' * 5000])
def test_a_config_that_cannot_be_read_is_refused(run, make_old, text):
    assert 'with no readable config' in refusal(make_old(run, cfg=text))


def test_a_checkpoint_without_a_config_is_refused(run, make_old):
    path = make_old(run)
    content = torch.load(path, weights_only=True)
    for meta in ({}, None):
        torch.save(content | dict(meta=meta), path)
        assert 'with no readable config' in refusal(path)


def test_today_s_checkpoint_needs_no_conversion(run, tmp_path):
    path = tmp_path / 'new.pth'
    shutil.copy(run.result.checkpoint, path)
    assert 'of format 4, expected format 1; use it as it is' in refusal(path)


@pytest.mark.parametrize('said', ['{', '[1]', '{}', '{"tower": {}, "class_names": []}'])
def test_a_description_that_is_none_is_refused(run, make_old, said):
    refusal(make_old(run, said=said))


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path):
    path = tmp_path / 'foreign.pth'
    assert 'found no file' in refusal(path)
    torch.save(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), path)
    assert 'not of a CSSAClassifier' in refusal(path)
    for content in ([1], dict(state_dict=[1])):
        torch.save(content, path)
        assert 'without a state_dict' in refusal(path)
