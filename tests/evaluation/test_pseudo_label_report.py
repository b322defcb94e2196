"""The table of an epoch, cell by cell."""

from cssa_mm.evaluation.pseudo_label_report import describe, truth_is_known


def with_nan(value):
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    return [with_nan(item) for item in value] if isinstance(value, list) else float('nan') if value is None else value


def cells_of(text: str) -> list[list[str]]:
    return [line.replace('traffic light', 'traffic_light').split() for line in text.splitlines()[1:]]


def test_the_table_of_the_last_epoch_starts_with_the_worst_classes(record):
    text = describe(with_nan(record))
    assert text.startswith('Pseudo-labels of epoch 7, in per cent; CF1 40.0; worst classes first.')
    assert cells_of(text) == [
        'class labelled thr+ thr- positives negatives masked precision recall F1 ECE'.split(),
        'traffic_light 3 - - 0 0 100 - 0.0 0.0 50.0'.split(),
        'dog 5 0.5000 0.1250 9 81 10 50.0 25.0 33.3 10.0'.split(),
        'sun 12 0.7500 0.2500 20 70 10 90.0 80.0 85.0 2.0'.split(),
        'all 20 - - 29 151 120 78.0 55.0 - 21.0'.split(),
    ]


def test_without_truth_it_says_so_and_shows_counts_and_thresholds_only(truthless_record):
    text = describe(with_nan(truthless_record))
    assert 'The truth of the unlabelled images is not known here' in text
    assert 'CF1' not in text
    assert cells_of(text) == [
        'class labelled thr+ thr- positives negatives masked'.split(),
        'traffic_light 3 - - 0 0 100'.split(),
        'dog 5 0.5000 0.1250 9 81 10'.split(),
        'sun 12 0.7500 0.2500 20 70 10'.split(),
        'all 20 - - 29 151 120'.split(),
    ]


def test_the_truth_is_known_where_it_is_known_of_any_image(record, truthless_record):
    assert truth_is_known(record)
    assert not truth_is_known(with_nan(truthless_record))
