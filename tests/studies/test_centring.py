"""A row 'zero-shot + centring' in a study: fitted to the training images, and another result than without."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from cssa_mm.errors import ConfigError
from cssa_mm.studies.fingerprint import DataDigests
from cssa_mm.studies.jobs import row_config
from cssa_mm.studies.spec import load_study

STUDY = """
config = 'cssa_demo'
rows = dict(
    zero_shot=dict(kind='zero_shot'),
    centred=dict(kind='zero_shot', options={'model.head.centring': dict(weight='auto')}),
    wrong=dict(kind='zero_shot', options={'model.head.centring.wieght': 1}),
)
"""


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / 'own.py'
    path.write_text(STUDY)
    return path


def test_a_row_of_zero_shot_is_centred_by_its_training_images(run_toy, study, tmp_path):
    summary = run_toy(str(study), tmp_path / 'study', rows=['zero_shot', 'centred'])
    assert summary['failures'] == {}
    folders = [tmp_path / 'study' / f'{row}-1' for row in ('zero_shot', 'centred')]
    plain, centred = ((folder / 'run.log').read_text() for folder in folders)
    assert 'Centring' not in plain
    assert 'Centring: weight 0.' in centred
    before, after = (json.loads((folder / 'result.json').read_text())['mAP'] for folder in folders)
    assert before != after


def test_a_misspelt_option_is_refused(study):
    found = load_study(str(study))
    with pytest.raises(ConfigError, match="row 'wrong' of study own: .*centring.wieght"):
        row_config(found, next(row for row in found.rows if row.name == 'wrong'))


def test_other_words_in_the_file_are_other_data(small_demo, study, tmp_path):
    found = load_study(str(study))
    words = tmp_path / 'words.txt'
    digests = []
    for content in ('tree\nriver\n', 'tree\nriver\n', 'tree\nsea\n'):
        words.write_text(content)
        config: Config = row_config(
            found, found.rows[1], overrides={'model.head.centring.vocabulary': str(words)}, data_root=small_demo
        )
        digests.append(DataDigests().of(config))
    assert digests[0] == digests[1] != digests[2]
