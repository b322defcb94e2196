"""Predictions from anywhere: read, or refused in one line. Oracle: what was written."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cssa_mm.apis.predicting.read_back import read_predictions
from cssa_mm.apis.predicting.writers.score_table import METADATA
from cssa_mm.errors import DataError

NAMES = ['sun', 'Müller']
FACTS = dict(
    class_names=NAMES, zero_shot_names=['sun'], thresholds=dict(values=[0.5, 0.7], rule='f1', positives=[1, 2])
)
WRONG = [
    ('no object', 'text'),
    ('class_names is no list of texts', FACTS | dict(class_names=[1, 2])),
    ('class_names is no list of texts', FACTS | dict(class_names='sun')),
    ('class_names is missing', dict(zero_shot_names=[])),
    ('zero_shot_names is no list of texts', FACTS | dict(zero_shot_names=4)),
    ('choice is no object', FACTS | dict(choice=['f1'])),
]


def write_parquet(path, facts):
    columns = dict(image=['a.jpg', 'b.jpg'], sun=pa.array([0.25, 0.75]), Müller=pa.array([0.65, 0.75]))
    says = dict(image_column='image', scores='calibrated', facts=facts)
    pq.write_table(pa.table(columns).replace_schema_metadata({METADATA: json.dumps(says).encode()}), path)


def test_scores_get_the_labels_of_the_thresholds_that_are_kept_with_them(tmp_path):
    write_parquet(tmp_path / 'scores.parquet', FACTS)
    found = read_predictions(tmp_path)
    assert (found.class_names, found.images, found.zero_shot_names) == (NAMES, ['a.jpg', 'b.jpg'], ['sun'])
    assert found.labels.tolist() == [[0, 0], [1, 1]]
    assert found.threshold == dict(zip(NAMES, [0.5, 0.7], strict=True))


@pytest.mark.parametrize(('problem', 'facts'), WRONG, ids=[problem for problem, _ in WRONG])
def test_a_description_of_a_model_that_is_none_is_one_line(tmp_path, problem, facts):
    write_parquet(tmp_path / 'scores.parquet', facts)
    with pytest.raises(DataError) as error:
        read_predictions(tmp_path)
    assert str(error.value).startswith(
        f'{tmp_path}/scores.parquet: found no description of a model in its metadata ({problem})'
    )
    write_parquet(tmp_path / 'scores.parquet', FACTS)
    (tmp_path / 'model.json').write_text(json.dumps(facts))
    with pytest.raises(DataError) as error:
        read_predictions(tmp_path)
    assert str(error.value).startswith(f'{tmp_path}/model.json: found no description of a model ({problem})')


@pytest.mark.parametrize(
    'text', ['image,sun,Müller\na.jpg,0.25,0.5\n', 'image,sun\nMüller.jpg,0.25\n'], ids=['name', 'image']
)
def test_a_table_in_another_encoding_is_one_line(tmp_path, text):
    (tmp_path / 'scores.csv').write_bytes(text.encode('latin-1'))
    with pytest.raises(DataError) as error:
        read_predictions(tmp_path / 'scores.csv')
    assert '\n' not in str(error.value)
