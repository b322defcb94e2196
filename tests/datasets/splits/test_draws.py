"""How often labelled images are drawn, compared with MMEngine's own wrappers."""

from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset

from cssa_mm.datasets.splits.draws import checked_oversampling, draw_counts
from cssa_mm.errors import ConfigError


class Labelled(BaseDataset):
    """Images with the positives of a label matrix."""

    def __init__(self, labels):
        self.matrix = labels
        super().__init__()

    def load_data_list(self):
        return [dict(number=number) for number in range(len(self.matrix))]

    def get_cat_ids(self, idx):
        return np.flatnonzero(self.matrix[idx] == 1).tolist()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('share', [0.05, 0.3, 1.0])
def test_rare_classes_are_drawn_as_mmengine_draws_them(seed, share):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((40, 6)) < [0.02, 0.05, 0.1, 0.3, 0.8, 0.0], 1, 0).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    wrapped = ClassBalancedDataset(Labelled(labels), oversample_thr=share)
    expected = Counter(wrapped.get_data_info(index)['number'] for index in range(len(wrapped)))
    found = draw_counts([dict(oversample_thr=share)], labels, np.ones(40, dtype=np.int64))
    assert found.tolist() == [expected[number] for number in range(40)]
    assert share < 0.1 or found.max() > 1


def test_repeats_multiply_in_any_nesting():
    labels = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.int8)
    ones = np.ones(4, dtype=np.int64)
    assert draw_counts([dict(times=3)], labels, ones).tolist() == [3] * 4
    assert len(RepeatDataset(Labelled(labels), times=3)) == 12
    # f = 1/4 and 3/4: sqrt(1 / .25) = 2, and sqrt(4 / 3) is rounded up to 2.
    assert draw_counts([dict(times=3), dict(oversample_thr=1.0)], labels, ones).tolist() == [6] * 4
    # f = 1/4: sqrt(.5 / .25) is rounded up to 2; then 2 of 5 draws are the first, which is often enough.
    assert draw_counts([dict(oversample_thr=0.5)], labels, ones).tolist() == [2, 1, 1, 1]
    twice = [dict(oversample_thr=0.5), dict(oversample_thr=0.4)]
    assert draw_counts(twice, labels, ones).tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize(
    'step',
    [dict(times=0), dict(times=1.5), dict(times=True), dict(oversample_thr=0), dict(oversample_thr=2), dict(), 3],
)
def test_a_step_of_another_form_is_refused(step):
    with pytest.raises(ConfigError, match='found'):
        checked_oversampling([step])
