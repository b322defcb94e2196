"""Scores leave as they are: read back by pyarrow and Python's csv, bit by bit."""

import csv
import json
import resource

import numpy as np
import pyarrow.parquet as pq
import pytest

from cssa_mm.apis.predicting.rows import PredictedImage
from cssa_mm.apis.predicting.writers import score_table
from cssa_mm.apis.predicting.writers.score_table import write_scores, write_scores_csv
from cssa_mm.datasets.label_forms import image_column_of

NAMES = ['dog', 'Image', 'a, "b";c', '火车']


@pytest.mark.parametrize('is_raw', [False, True])
def test_parquet_gives_each_score_back(tmp_path, make_facts, make_rows, is_raw, monkeypatch):
    monkeypatch.setattr(score_table, 'CELLS', 4 * 300)
    rows = make_rows(NAMES, [['dog'], [], NAMES] * 250)
    write_scores(iter(rows), make_facts(NAMES), tmp_path / 'scores.parquet', is_raw=is_raw)
    file = pq.ParquetFile(tmp_path / 'scores.parquet')
    assert file.metadata.num_row_groups == 3  # 300, 300, 150
    table = file.read()
    assert table.column_names == ['image_', *NAMES]
    assert table['image_'].to_pylist() == [row.name for row in rows]
    found = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([row.raw_scores if is_raw else row.scores for row in rows]))
    says = json.loads(table.schema.metadata[b'cssa_mm'])
    assert says == dict(facts=make_facts(NAMES), scores='raw' if is_raw else 'calibrated', image_column='image_')


def test_csv_gives_each_score_back(tmp_path, make_facts, make_rows):
    rows = make_rows(NAMES, [['dog'], [], NAMES] * 20)
    write_scores_csv(iter(rows), make_facts(NAMES), tmp_path / 'scores.csv')
    with (tmp_path / 'scores.csv').open(newline='', encoding='utf-8') as file:
        header, *lines = csv.reader(file)
    assert header == ['image_', *NAMES]
    assert [line[0] for line in lines] == [row.name for row in rows]
    np.testing.assert_array_equal(np.array([line[1:] for line in lines], np.float32), [row.scores for row in rows])


def test_no_images_are_a_table_without_rows(tmp_path, make_facts):
    write_scores(iter(()), make_facts(NAMES), tmp_path / 'scores.parquet')
    assert pq.read_table(tmp_path / 'scores.parquet').shape == (0, 5)


def test_the_image_column_gives_way():
    assert image_column_of(['cat']) == 'image'
    assert image_column_of(['IMAGE', 'image_']) == 'image__'


def test_memory_stays_as_it_is(tmp_path, make_facts):
    names = [f'c{index}' for index in range(20)]
    score = np.full(20, 0.5, np.float32)

    def rows(count):
        return (PredictedImage(f'{index:07}.jpg', f'/p/{index:07}.jpg', (), score, score) for index in range(count))

    write_scores(rows(140_000), make_facts(names), tmp_path / 'a.parquet')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_scores(rows(400_000), make_facts(names), tmp_path / 'b.parquet')
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB; all of it would be 70 MB and more
