"""The data of every shipped config pass the check without a question."""

from pathlib import Path

import pytest

from cssa_mm.apis.checking import check
from cssa_mm.apis.config import load_config

CONFIGS = sorted((Path(__file__).parents[2] / 'configs').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_no_shipped_setting_raises_a_question_or_must_be_fixed(path, tiny_data):
    kind = load_config(path, overrides={'accept': 'all'}).train_dataloader.dataset.type
    # Of twelve photos a few per cent are none.
    overrides = {'train_dataloader.dataset.split.proportion': 0.5}
    if load_config(path).train_dataloader.dataset.get('split') is None:
        overrides = {}
    report = check(config=path, data_root=tiny_data(kind), overrides=overrides, num_workers=1)
    assert report.asked == []
    assert report.trains, report.text()
    assert report.text().splitlines()[-1].startswith('Verdict: training would run well')
