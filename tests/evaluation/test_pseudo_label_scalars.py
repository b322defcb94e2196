"""Scalars of an epoch's pseudo-labels, against the record that they come from."""

import pytest

from cssa_mm.evaluation.pseudo_label_scalars import pseudo_label_scalars


def test_counts_shares_in_per_cent_and_thresholds_of_the_classes_with_the_most_labels(record):
    found = pseudo_label_scalars(record, num_classes=2)
    assert found == pytest.approx(
        {
            'pseudo_labels/positives': 29,
            'pseudo_labels/negatives': 151,
            'pseudo_labels/masked': 40,
            'pseudo_labels/precision': 78,
            'pseudo_labels/recall': 55,
            'pseudo_labels/macro_F1': 40,
            'pseudo_labels/calibration_error': 21,
            'positive_thresholds/lowest': 0.5,
            'positive_thresholds/median': 0.625,
            'positive_thresholds/highest': 0.75,
            'positive_threshold_of/sun': 0.75,
            'positive_threshold_of/dog': 0.5,
            'negative_thresholds/lowest': 0.125,
            'negative_thresholds/median': 0.1875,
            'negative_thresholds/highest': 0.25,
            'negative_threshold_of/sun': 0.25,
            'negative_threshold_of/dog': 0.125,
        }
    )


def test_what_is_not_known_is_left_out(truthless_record):
    nothing = dict(positive_thresholds=[None] * 3, negative_thresholds=[None] * 3)  # of a policy without them
    found = pseudo_label_scalars(truthless_record | nothing, num_classes=20)
    assert found == {'pseudo_labels/positives': 29, 'pseudo_labels/negatives': 151, 'pseudo_labels/masked': 40}


def test_a_class_name_makes_no_folder_and_has_nothing_that_services_refuse(record):
    record['class_names'] = ['person/rider', 'собака (2)', "a 'b'"]
    names = [name for name in pseudo_label_scalars(record, 3) if name.startswith('positive_threshold_of')]
    assert names == ['positive_threshold_of/person_rider', 'positive_threshold_of/a _b_']
