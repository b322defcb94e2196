"""The weight of centring in a model that nobody trained."""

import pytest

import cssa_mm
from cssa_mm.apis import untrained
from cssa_mm.apis.loading import untrained_model
from cssa_mm.errors import DataError
from cssa_mm.semi import centring as centring_module

CENTRED = {'model.head.centring': dict(vocabulary=['tree', 'river', 'cup'])}


@pytest.fixture
def said(monkeypatch):
    """The lines about centring that were logged."""
    lines = []
    for module in (untrained, centring_module):
        monkeypatch.setattr(module, 'print_log', lambda line, *details: lines.append(line))
    return lines


def test_a_test_of_the_untrained_model_fits_it_to_the_training_images(tiny_overrides, toy_data, tmp_path, said):
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2}, **CENTRED)
    common = dict(config='cssa_coco_p05', overrides=overrides, data_root=toy_data, work_dir=tmp_path, device='cpu')
    metrics = cssa_mm.test(**common)
    assert metrics['ema/mAP'] > 0
    (line,) = said
    assert line.startswith('Centring: weight 0.')
    assert line.endswith(', fitted to the training images')


@pytest.mark.parametrize('missing', ['images', 'hook'])
def test_without_training_images_the_weight_is_told(tiny_config, said, missing):
    config = tiny_config(**CENTRED)
    if missing == 'hook':
        config.default_hooks.pseudo_labels = None
        model = untrained_model(config, device='cpu')
        untrained.start_untrained(model, config)
    else:
        config.train_dataloader.dataset.ann_file = 'missing.json'
        model = untrained_model(config, device='cpu')
        with pytest.raises(DataError):
            untrained.start_untrained(model, config)
    assert said == [
        "Centring: no training images have fitted weight='auto', which is 0.25 now; "
        'model.head.centring.weight=NUMBER sets it'
    ]
    assert float(model.head.centring.weight) == 0.25


def test_without_centring_nothing_is_told(tiny_config, said):
    config = tiny_config()
    untrained.start_untrained(untrained_model(config, device='cpu'), config)
    assert said == []
