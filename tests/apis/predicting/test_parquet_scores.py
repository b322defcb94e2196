"""Parquet from anywhere. Oracle: the table that was written, and the memory that Arrow has taken."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cssa_mm import archives
from cssa_mm.apis.predicting.parquet_scores import read_score_table
from cssa_mm.errors import DataError

MOST = 2**24  # bytes that looking at a file may take


def write(path, names, scores, count=1, **options):
    columns = {'image': names} | {f'class {number}': scores for number in range(count)}
    pq.write_table(pa.table(columns), path, **options)
    return path


def bombs():
    """What unpacks to more than 256 MiB from less than a hundredth: equal numbers, pages, and one long name."""
    zeros = pa.array(np.zeros(2**20, np.float32))
    few = pa.array(['a'] * 2**20)
    yield 'equal scores', few, zeros, dict(count=80)
    yield 'pages of zeros', few, zeros, dict(count=80, use_dictionary=False, compression='zstd')
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2**15, np.int32)), pa.array(['a' * 2**14]))
    yield 'a long name', name, pa.array(np.random.default_rng(0).random(2**15, np.float32)), {}


@pytest.mark.parametrize(('names', 'scores', 'options'), [pytest.param(*rest, id=name) for name, *rest in bombs()])
def test_a_small_file_that_would_fill_the_memory_is_refused_before_it_does(
    tmp_path, monkeypatch, names, scores, options
):
    # Arrow would write a column that was a dictionary as one again; other programs write texts.
    path = write(tmp_path / 'scores.parquet', names, scores, store_schema=False, **options)
    del names, scores
    pool = pa.default_memory_pool()
    taken = []
    allocated = pool.bytes_allocated()
    original = pa.parquet.ParquetFile.read

    def read(*given, **named):
        result = original(*given, **named)
        taken.append(pool.bytes_allocated() - allocated)
        return result

    monkeypatch.setattr(pa.parquet.ParquetFile, 'read', read)
    with pytest.raises(DataError) as error:
        read_score_table(path)
    assert f'{path}: found {path.stat().st_size:,} bytes that unpack to ' in str(error.value)
    assert int(str(error.value).split('unpack to ')[1].split(', expected')[0].replace(',', '')) > 2**28
    assert max(taken, default=0) < MOST


def test_scores_that_take_much_room_by_themselves_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, 'UNPACKED', 1000)
    scores = np.random.default_rng(0).random(2**12)
    path = write(tmp_path / 'scores.parquet', [f'{number}.jpg' for number in range(2**12)], scores, 3)
    found = read_score_table(path)
    assert found.images == [f'{number}.jpg' for number in range(2**12)]
    assert found.class_names == ['class 0', 'class 1', 'class 2']
    assert found.scores.dtype == np.float32
    assert np.array_equal(found.scores, np.stack([scores.astype(np.float32)] * 3, axis=1))
    assert found.says == {}


@pytest.mark.parametrize(
    ('columns', 'metadata', 'said'),
    [
        (dict(image=['a']), {}, "found the columns ['image'], expected one for each class"),
        (dict(image=['a'], sun=[0.5]), dict(cssa_mm='[1]'), 'found no readable Parquet (ValueError)'),
        (dict(image=['a'], sun=[0.5]), dict(cssa_mm='{"image_column": "sun"}'), 'found no column with the names'),
        (dict(image=['a'], sun=[1]), {}, "found int64 in the column 'sun'"),
    ],
)
def test_what_is_no_table_of_scores_is_refused_in_one_line(tmp_path, columns, metadata, said):
    path = tmp_path / 'scores.parquet'
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    with pytest.raises(DataError) as error:
        read_score_table(path)
    assert said in str(error.value)
    assert '\n' not in str(error.value)
