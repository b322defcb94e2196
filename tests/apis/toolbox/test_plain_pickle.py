"""Pickles of predictions come back, and run nothing."""

import collections
import os
import pickle

import mmengine
import numpy as np
import pytest
import torch

from cssa_mm.apis.toolbox import predictions
from cssa_mm.apis.toolbox.plain_pickle import read_plain_pickle
from cssa_mm.errors import DataError


class Planted:
    """What runs a command when it is unpickled."""

    def __init__(self, command, *arguments):
        self.command, self.arguments = command, arguments

    def __reduce__(self):
        return self.command, self.arguments


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back(tmp_path, protocol):
    content = dict(
        tensor=torch.tensor([[1.5, -2.0]]), whole=torch.arange(3), array=np.arange(6).reshape(2, 3), text='ä',
        scalar=np.float32(0.25), order=collections.OrderedDict(a=1), shape=(3, 4), none=None, data=b'\x00\xff',
    )  # fmt: skip
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps([content], protocol=protocol))
    (found,) = read_plain_pickle(tmp_path / 'p.pkl')
    assert torch.equal(found.pop('tensor'), content.pop('tensor'))
    assert torch.equal(found.pop('whole'), content.pop('whole'))
    np.testing.assert_array_equal(found.pop('array'), content.pop('array'))
    assert found == content


def planted_storage(marker) -> bytes:
    """A pickle that asks for torch's function of storages, with a pickle in it that runs a command."""
    inner = pickle.dumps(Planted(os.system, f'touch {marker}'), protocol=2)
    return pickle.dumps(Planted(torch.storage._load_from_bytes, inner), protocol=2)


@pytest.mark.parametrize(
    'plant',
    [
        lambda marker: pickle.dumps(Planted(os.system, f'touch {marker}')),
        lambda marker: pickle.dumps(Planted(eval, f'open({str(marker)!r}, "w")')),
        lambda marker: pickle.dumps(Planted(getattr, np.ndarray, 'tofile')),
        lambda marker: pickle.dumps(Planted(np.lib.npyio.DataSource, '.')),
        planted_storage,
    ],
)
def test_what_a_pickle_names_beside_data_is_not_run(tmp_path, plant):
    path = tmp_path / 'p.pkl'
    path.write_bytes(plant(tmp_path / 'marker'))
    with pytest.raises(DataError) as error:
        predictions.read(str(path))
    assert str(error.value).startswith(f'{path}: found no predictions')
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'marker').exists()


def test_yaml_which_mmengine_would_run_is_refused(tmp_path):
    path = tmp_path / 'p.yaml'
    path.write_text(f'!!python/object/apply:os.system ["touch {tmp_path / "marker"}"]')
    with pytest.raises(DataError, match=r"found the ending '\.yaml', expected one of \.pkl"):
        predictions.read(str(path))
    assert not (tmp_path / 'marker').exists()


def test_json_is_read(tmp_path):
    mmengine.dump([dict(pred_score=[0.1, 0.9], pred_label=[1], gt_label=[0])], tmp_path / 'p.json')
    assert predictions.read(str(tmp_path / 'p.json')).truth.tolist() == [[1, 0]]
