import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.pseudo_labels import show_pseudo_labels
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.pseudo_label_records import FILE, append_record


@pytest.mark.parametrize('options', [dict(), dict(positive_thresholds=[None] * 3)])
@pytest.mark.parametrize('name', ['record', 'truthless_record'])
def test_any_record_can_be_drawn(request, name, options, tmp_path):
    for epoch in (5, 6, 7):
        append_record(tmp_path / FILE, request.getfixturevalue(name) | options | dict(epoch=epoch))
    report = show_pseudo_labels(work_dir=tmp_path)
    assert report.picture == tmp_path / 'pseudo_labels.png'
    assert [found['epoch'] for found in report.records] == [5, 6, 7]
    assert report.text().startswith('Pseudo-labels of epoch 7')
    assert report.text().endswith(f'\n\npicture: {report.picture}')
    with Image.open(report.picture) as picture:
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ['pseudo_labels.jsonl', 'pseudo_labels.png']


def test_a_name_that_is_no_picture_s_is_refused(record, tmp_path):
    append_record(tmp_path / FILE, record)
    with pytest.raises(ConfigError, match="--out: found 'quality.txt', expected a name that ends with .*[.]png"):
        show_pseudo_labels(work_dir=tmp_path, out='quality.txt')
