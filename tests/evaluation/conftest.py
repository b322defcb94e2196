import pytest


@pytest.fixture
def record():
    """An epoch of three classes as the hook writes it."""
    return dict(
        epoch=7,
        class_names=['sun', 'traffic light', 'dog'],
        labelled_positives=[12, 3, 5],
        positive_thresholds=[0.75, None, 0.5],
        negative_thresholds=[0.25, None, 0.125],
        positives=[20, 0, 9],
        negatives=[70, 0, 81],
        masked=[10, 100, 10],
        precision=[0.9, None, 0.5],
        recall=[0.8, 0.0, 0.25],
        F1=[0.85, 0.0, 1 / 3],
        CF1=0.4,
        micro_precision=0.78,
        micro_recall=0.55,
        masked_share=0.4,
        calibration_error=[0.02, 0.5, 0.1],
        overall_calibration_error=0.21,
        reliability=dict(
            count=[200, 0, 0, 0, 40, 0, 0, 0, 0, 60],
            score=[0.04] + [None] * 3 + [0.45] + [None] * 4 + [0.97],
            positive=[0.1] + [None] * 3 + [0.4] + [None] * 4 + [0.7],
        ),
    )
