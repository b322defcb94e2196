"""Validation on kept features. Oracle: the same training with nothing kept of the validation images."""

import pytest
import torch
from mmengine.hooks import Hook

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.features.evaluation import KeptBatches
from cssa_mm.semi import pseudo_label_hook

CACHE = 'default_hooks.pseudo_labels.feature_cache'
VIEW_GIB = (5 * 16 + 16) * 4 / 2**30  # tiny-rn


class Validations(Hook):
    """Records metrics and scores of each validation, and the batches that the tower encoded for it."""

    def __init__(self, encoded: list[int]) -> None:
        self.encoded, self.metrics, self.counts, self.scores, self.ids = encoded, [], [], [], []

    def before_val(self, runner) -> None:
        self.encoded.clear()
        self.scores.append([])

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.scores[-1] += [sample.pred_score for sample in outputs]
        self.ids += [sample.image_id for sample in outputs]

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.metrics.append(dict(metrics))
        self.counts.append(list(self.encoded))


@pytest.fixture
def validate(tiny_config, encoded, tmp_path):
    """validate(name, change=None, **overrides) -> the runner after three epochs with a validation each; the record."""

    def run(name: str, change=None, **overrides) -> tuple[CSSARunner, Validations]:
        config = tiny_config(work_dir=str(tmp_path / name), **overrides)
        config.train_cfg.update(val_begin=1, val_interval=1)
        config.default_hooks.calibration = None
        if change is not None:
            change(config)
        runner, record = CSSARunner.from_cfg(config), Validations(encoded)
        runner.register_hook(record)
        runner.train()
        return runner, record

    return run


def test_each_validation_image_is_encoded_once_and_the_figures_stay_the_same_bitwise(validate, monkeypatch, tmp_path):
    kept, found = validate('kept')
    assert isinstance(kept.val_dataloader, KeptBatches)
    assert found.counts == [[1, 8, 4], [], []]  # one for the size, then the batches of the loader
    in_folder, stored = validate('stored', **{f'{CACHE}.folder': str(tmp_path / 'folder')})
    monkeypatch.setattr(pseudo_label_hook, 'keep_evaluation', lambda *_: None)
    _, expected = validate('never')
    assert expected.counts == [[8, 4]] * 3
    for record in (found, stored):
        assert record.metrics == expected.metrics
        assert record.ids == expected.ids
        for scores, same in zip(record.scores, expected.scores, strict=True):
            assert torch.equal(torch.stack(scores), torch.stack(same))
    assert len(list((tmp_path / 'folder').glob('*/*.safetensors'))) == 3  # plain, mirrored, validation


@pytest.mark.parametrize('why', ['memory', 'pipeline', 'nothing is kept'])
def test_where_they_do_not_fit_or_are_no_plain_views_they_are_encoded_in_each_validation(validate, why):
    def flip(config) -> None:
        config.val_dataloader.dataset.pipeline.insert(1, dict(type='RandomFlip', prob=1.0))

    gib = {'memory': 91 * VIEW_GIB, 'nothing is kept': 0.0}.get(why, 1.0)
    runner, record = validate('run', flip if why == 'pipeline' else None, **{f'{CACHE}.gib': gib})
    assert not isinstance(runner.val_dataloader, KeptBatches)
    assert record.counts == [[1, 8, 4] if why == 'memory' else [8, 4], [8, 4], [8, 4]]


def test_a_test_takes_its_images_from_a_folder_bitwise_and_not_without_one(tiny_config, encoded, tmp_path):
    def test(**overrides) -> tuple[dict, list[int]]:
        encoded.clear()
        runner = CSSARunner.from_cfg(tiny_config(work_dir=str(tmp_path / 'run'), **overrides))
        return runner.test(), list(encoded)

    expected, counts = test()
    assert counts == [8, 4]
    folder = {f'{CACHE}.folder': str(tmp_path / 'folder')}
    assert test(**folder) == (expected, [1, 8, 4])
    assert test(**folder) == (expected, [1])
    assert test(**folder, **{'test_cfg.fp16': True})[1] == [8, 4]  # what autocast rounds is not what is kept
