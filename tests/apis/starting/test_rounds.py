"""Rounds: each set of labels has a folder of its own, which a later call finds again."""

from dataclasses import replace
from pathlib import Path

import pytest

from cssa_mm.apis.starting.project import Project
from cssa_mm.apis.starting.rounds import FILE, Rounds
from cssa_mm.errors import ConfigError

NONE = Project(Path('photos'), 50, ('dog', 'cat'))
THIRTY = replace(NONE, labelled=30, positives={'dog': 9, 'cat': 4}, digest='a')


def test_the_same_labels_find_their_folder_and_others_get_one_of_their_own(tmp_path):
    rounds = Rounds.of(tmp_path / 'out', tmp_path / 'photos', None)
    names = [rounds.folder(project).name for project in (NONE, THIRTY, replace(THIRTY, digest='b'), NONE, THIRTY)]
    assert names == ['no_labels', '30_labelled', '30_labelled_v2', 'no_labels', '30_labelled']
    again = Rounds.of(tmp_path / 'out', tmp_path / 'photos', None)
    assert again.folder(replace(THIRTY, digest='b')).name == '30_labelled_v2'
    assert again.folder(replace(THIRTY, digest='c')).name == '30_labelled_v3'


def test_a_finished_training_is_known_as_long_as_its_checkpoint_is_there(tmp_path):
    rounds = Rounds.of(tmp_path / 'out', tmp_path / 'photos', None)
    path = rounds.folder(THIRTY) / 'training' / 'epoch_22.pth'
    assert rounds.checkpoint(THIRTY) is None
    path.parent.mkdir(parents=True)
    path.write_bytes(b'')
    rounds.finish(THIRTY, path)
    assert Rounds.of(tmp_path / 'out', tmp_path / 'photos', None).checkpoint(THIRTY) == path
    assert rounds.checkpoint(replace(THIRTY, digest='b')) is None
    path.unlink()
    assert rounds.checkpoint(THIRTY) is None


def test_the_tower_of_the_first_call_is_kept(tmp_path):
    Rounds.of(tmp_path / 'out', tmp_path / 'photos', 'demo').folder(NONE)
    assert Rounds.of(tmp_path / 'out', tmp_path / 'photos', None).tower == 'demo'
    with pytest.raises(ConfigError, match="tower: found 'RN50:openai', but .* was begun with --tower demo"):
        Rounds.of(tmp_path / 'out', tmp_path / 'photos', 'RN50:openai')


def test_a_folder_of_something_else_is_refused(tmp_path):
    out = tmp_path / 'out'
    Rounds.of(out, tmp_path / 'photos', None).folder(NONE)
    with pytest.raises(ConfigError, match='expected those of'):
        Rounds.of(out, tmp_path / 'other', None)
    (out / FILE).write_text('[1')
    with pytest.raises(ConfigError, match='found no record of start'):
        Rounds.of(out, tmp_path / 'photos', None)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.tex').touch()
    with pytest.raises(ConfigError, match='which holds something that start did not write'):
        Rounds.of(tmp_path / 'mine', tmp_path / 'photos', None)
