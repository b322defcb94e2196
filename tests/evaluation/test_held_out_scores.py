import numpy as np
import pytest

from cssa_mm.errors import DataError
from cssa_mm.evaluation.held_out_scores import FILE, HeldOutScores, forget_held_out, read_held_out


def test_held_out_scores_come_back_as_they_were_written(tmp_path):
    labels, scores = np.array([[1, 0], [-1, -1], [0, 1]]), np.random.default_rng(0).random((3, 2))
    HeldOutScores.of(['a.jpg', 'ü/b', '7'], ['dog', '<b>'], labels, scores).write(tmp_path)
    found = read_held_out(tmp_path)
    assert (found.image_ids, found.class_names) == (('a.jpg', 'ü/b', '7'), ('dog', '<b>'))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.scores, scores, atol=1e-7)
    forget_held_out(tmp_path)
    assert read_held_out(tmp_path) is None


@pytest.mark.parametrize('broken', ['text', 'half', 'shapes', 'lacking'])
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path, broken):
    arrays = dict(image_ids=['a'], class_names=['b', 'c'], labels=np.ones((1, 2)), scores=np.ones((1, 3)))
    if broken == 'text':
        (tmp_path / FILE).write_text('nothing')
    else:
        np.savez(tmp_path / FILE, **(arrays if broken == 'shapes' else dict(image_ids=['a'])))
    if broken == 'half':
        (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:150])
    with pytest.raises(DataError, match='held_out.npz: found .*, expected what a training wrote; train again'):
        read_held_out(tmp_path)
