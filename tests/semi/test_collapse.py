"""Which pseudo-labels have collapsed, against counts by hand."""

import numpy as np
import pytest

from cssa_mm.semi.collapse import collapsed, labelled_rates, told


@pytest.fixture
def epoch():
    """An epoch of 100 unlabelled images and five classes."""
    return dict(
        class_names=['sun', 'dog', 'cat', 'tree', 'unseen'],
        positives=[0, 0, 60, 60, 0],
        negatives=[90, 100, 30, 40, 0],
        masked=[10, 0, 10, 0, 100],
        labelled_positives=[3, 1, 12, 12, 0],
    )


RATES = np.array([0.15, 0.01, 0.2, 0.5, 0.0])


def test_rates_are_those_of_the_known_labels():
    labels = np.array([[1, 0, -1], [1, -1, -1], [0, -1, -1], [-1, 1, -1]])
    np.testing.assert_allclose(labelled_rates(labels), [2 / 3, 0.5, np.nan])


def test_a_class_collapses_to_none_or_nearly_all_where_labels_lead_to_expect_otherwise(epoch):
    """One dog in a hundred images may be missing, half the images do show a tree, and nobody knows the last class."""
    found = collapsed(epoch, RATES)
    assert found['none'].tolist() == [True, False, False, False, False]
    assert found['most'].tolist() == [False, False, True, False, False]


def test_the_warning_names_class_counts_and_cause(epoch):
    text = told('none', [0], epoch, RATES, 2)
    assert text.startswith(
        "Pseudo-labels have collapsed, no pseudo-positives for 2 epochs: 'sun' 0 of 100, expected 15 (3 labelled)"
    )
    assert text.endswith('Likely cause: fewer than 5 labelled images show them: label more')
    text = told('most', [2], epoch, RATES, 2)
    assert "'cat' 60 of 100, expected 20 (12 labelled). Likely cause: the teacher confirms its own labels" in text
    epoch['labelled_positives'][0] = 30
    assert 'Likely cause: the teacher has lost them' in told('none', [0], epoch, RATES, 2)


def test_many_classes_make_one_line():
    count = 5000
    epoch = dict(class_names=[f'class {c}' for c in range(count)], labelled_positives=[9] * count)
    epoch |= dict(positives=[0] * count, negatives=[100] * count, masked=[0] * count)
    rates = np.full(count, 0.1)
    classes = np.flatnonzero(collapsed(epoch, rates)['none']).tolist()
    text = told('none', classes, epoch, rates, 2)
    assert "'class 7' 0 of 100" in text
    assert 'class 8' not in text
    assert ' and 4992 more. Likely cause' in text
