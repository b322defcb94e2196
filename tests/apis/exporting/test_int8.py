"""int8: quantised as its tower needs it, measured on images that it was not fitted to, or not written."""

import csv
import io
import json
import shutil
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

import cssa_mm
from cssa_mm.apis.exporting import int8, int8_data
from cssa_mm.apis.exporting.int8 import Trial, export_int8
from cssa_mm.apis.exporting.int8_data import two_halves
from cssa_mm.apis.exporting.int8_kinds import DYNAMIC, STATIC, kinds_for, prepare, quantise
from cssa_mm.apis.exporting.int8_measures import Speed
from cssa_mm.apis.exporting.onnx_file import export_onnx
from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.cli.main import main
from cssa_mm.demo.glyphs import CLASS_NAMES
from cssa_mm.demo.scenes import demo_scene
from cssa_mm.errors import CheckpointError, ConfigError, DataError


def scores_by_hand(path, images) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return np.concatenate([session.run(['scores'], {'image': image})[0] for image in images])


def operators(path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def initial_types(path) -> set[int]:
    return {tensor.data_type for tensor in onnx.load(str(path)).graph.initializer if len(tensor.dims) > 1}


# -- the images ------------------------------------------------------------------------------------------------


def write_table(folder, names, count: int = 40, labelled: int | None = None):
    """A label table with images of noise, of which the first `labelled` have labels; returns labels by file name."""
    rng = np.random.default_rng(0)
    (folder / 'images').mkdir(parents=True)
    rows = {}
    for index in range(count):
        path = f'{index:03}.png'
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / 'images' / path)
        shown = [name for name in names if rng.random() < 0.4] or ['none']
        rows[path] = ';'.join(shown) if labelled is None or index < labelled else ''
    with (folder / 'labels.csv').open('w', newline='') as file:
        csv.writer(file).writerows([('image', 'labels'), *rows.items()])
    return rows


@pytest.fixture
def table(tmp_path, trained):
    model = trained('tiny-rn')
    return SimpleNamespace(
        folder=tmp_path / 'photos', model=model, rows=write_table(tmp_path / 'photos', model.class_names)
    )


@pytest.mark.parametrize('name', ['', 'labels.csv'])
def test_a_table_or_its_folder_falls_into_two_halves_without_overlap(table, name):
    halves = two_halves(table.folder / name, table.model)
    found = [[path.rsplit('/', 1)[-1] for path in half.paths] for half in halves]
    assert sorted(found[0] + found[1]) == sorted(table.rows)
    assert len(found[0]) == 20
    for names, half in zip(found, halves, strict=True):
        for path, labels in zip(names, half.labels, strict=True):
            shown = [one for one, label in zip(table.model.class_names, labels, strict=True) if label == 1]
            assert (';'.join(shown) or 'none') == table.rows[path]
    again = two_halves(table.folder / name, table.model)
    assert [half.paths for half in again] == [half.paths for half in halves]


def test_the_test_part_of_a_folder_counts_where_there_is_one(table):
    (table.folder / 'test.csv').write_text((table.folder / 'labels.csv').read_text().replace('039.png', '038.png', 0))
    rows = (table.folder / 'labels.csv').read_text().splitlines()
    (table.folder / 'labels.csv').write_text('\n'.join(rows[:11]))
    (table.folder / 'test.csv').write_text('\n'.join([rows[0], *rows[11:]]))
    assert sum(len(half.paths) for half in two_halves(table.folder, table.model)) == 30


def test_a_config_gives_its_test_images(tiny_config, trained, monkeypatch):
    monkeypatch.setattr(int8_data, 'FEWEST', 12)
    config = tiny_config()
    monkeypatch.setattr(int8_data, 'load_config', lambda source, data_root: config)
    monkeypatch.setattr(int8_data, 'shipped_config', lambda source: source)
    halves = two_halves('cssa_tiny', trained('tiny-rn'))
    assert [len(half.paths) for half in halves] == [6, 6]
    assert all('/test/' in path for half in halves for path in half.paths)
    other = cssa_mm.zero_shot(class_names=['sun', 'moon'], model_name='cssa-demo-rn', pretrained='demo', size=64)
    with pytest.raises(DataError, match='cssa_tiny: test_dataloader.dataset: found the classes dog, cat'):
        two_halves('cssa_tiny', other)


def test_images_that_cannot_serve_are_refused_in_one_line(table, tmp_path):
    def refusal(source, model=table.model, error=DataError, **options) -> str:
        with pytest.raises(error) as found:
            two_halves(source, model, **options)
        assert '\n' not in str(found.value)
        return str(found.value)

    assert 'found nothing at' in refusal(tmp_path / 'nowhere')
    write_table(tmp_path / 'few', table.model.class_names, labelled=19)
    assert 'found 19 labelled images' in refusal(tmp_path / 'few')
    write_table(tmp_path / 'same', table.model.class_names[:1])
    text = (tmp_path / 'same' / 'labels.csv').read_text()
    (tmp_path / 'same' / 'labels.csv').write_text(text.replace('none', table.model.class_names[0]))
    assert 'no class with a positive and a negative' in refusal(tmp_path / 'same' / 'labels.csv')
    other = cssa_mm.zero_shot(class_names=['sun', 'moon'], model_name='cssa-demo-rn', pretrained='demo', size=64)
    assert 'labels.csv, line ' in refusal(table.folder, other)
    assert '--data-root: found it with' in refusal(table.folder, error=ConfigError, data_root=tmp_path)


# -- the kinds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('name', 'kinds'), [('rn', STATIC), ('timm', STATIC), ('vit', (DYNAMIC,))])
def test_each_tower_is_tried_with_what_suits_it(files, name, kinds, tmp_path):
    prepare(files[name].path, tmp_path / 'prepared.onnx')
    assert kinds_for(tmp_path / 'prepared.onnx') == kinds
    images = [np.full((1, 3, 64, 64), 17 * index, np.uint8) for index in range(6)]
    noise = [np.random.default_rng(index).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8) for index in range(6)]
    expected = scores_by_hand(files[name].path, noise)
    np.testing.assert_allclose(scores_by_hand(tmp_path / 'prepared.onnx', noise), expected, atol=1e-5)
    kind = kinds[0]
    quantise(tmp_path / 'prepared.onnx', tmp_path / 'int8.onnx', kind, [*images, *noise])
    assert onnx.TensorProto.INT8 in initial_types(tmp_path / 'int8.onnx')
    found = operators(tmp_path / 'int8.onnx')
    if kind.is_static:
        assert 'QuantizeLinear' in found
    else:
        assert 'DynamicQuantizeLinear' in found or 'MatMulInteger' in found or 'DynamicQuantizeMatMul' in found
    difference = np.abs(scores_by_hand(tmp_path / 'int8.onnx', noise) - expected)
    assert 0 < difference.mean() < 0.1


def test_behind_the_last_convolution_scores_are_made_in_float(files, tmp_path):
    prepare(files['rn'].path, tmp_path / 'prepared.onnx')
    images = [np.random.default_rng(index).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8) for index in range(4)]
    quantise(tmp_path / 'prepared.onnx', tmp_path / 'int8.onnx', STATIC[-1], images)
    graph = onnx.load(str(tmp_path / 'int8.onnx')).graph
    makers = {output: node for node in graph.node for output in node.output}
    makers_of_scores = [makers[output.name].op_type for output in graph.output]
    assert 'DequantizeLinear' not in makers_of_scores
    for node in graph.node:
        if node.op_type in ('Sigmoid', 'Softmax'):
            assert all(makers[name].op_type != 'DequantizeLinear' for name in node.input if name in makers)


@pytest.mark.parametrize(('name', 'kind'), [('rn', STATIC[-1]), ('vit', DYNAMIC)])
def test_neighbours_are_looked_up_in_float_among_images_in_float16(files, name, kind, tmp_path, monkeypatch):
    monkeypatch.setattr('cssa_mm.apis.exporting.int8_kinds.LARGE', 64)  # so that the stored images would count
    prepare(files[name].path, tmp_path / 'prepared.onnx')
    noise = [np.random.default_rng(index).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8) for index in range(4)]
    quantise(tmp_path / 'prepared.onnx', tmp_path / 'int8.onnx', kind, noise)
    graph = onnx.load(str(tmp_path / 'int8.onnx')).graph
    halves = {tuple(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    keys, values = files[name].model.neighbours.keys, files[name].model.neighbours.values
    assert {tuple(keys.T.shape), tuple(values.shape)} <= halves
    (whitening,) = [tensor for tensor in graph.initializer if tensor.name == 'neighbours.whitening']
    assert whitening.data_type == onnx.TensorProto.FLOAT
    (search,) = [node for node in graph.node if node.op_type == 'TopK']
    makers = {output: node for node in graph.node for output in node.output}
    waiting, seen = list(search.input), []
    while waiting and 'neighbours.whitening' not in waiting:
        node = makers.get(waiting.pop())
        if node is not None:
            seen.append(node.op_type)
            waiting += node.input
    assert not [kind for kind in seen if 'Quant' in kind or 'Integer' in kind]


def small_graph(path, convolutions: int, products: int, group: int = 1):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node('Conv', ['x', 'w'], [f'c{n}'], group=group) for n in range(convolutions)]
    nodes += [helper.make_node('MatMul', ['x', 'x'], [f'p{n}']) for n in range(products)]
    value = helper.make_tensor_value_info('x', kind, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, 'g', [value], [value])), str(path))
    return path


@pytest.mark.parametrize(
    ('convolutions', 'products', 'group', 'kinds'),
    [
        (1, 40, 1, (DYNAMIC,)),
        (50, 6, 1, STATIC),
        (20, 40, 32, (*STATIC, DYNAMIC)),
    ],
)
def test_a_tower_is_told_by_what_it_consists_of(tmp_path, convolutions, products, group, kinds):
    assert kinds_for(small_graph(tmp_path / 'graph.onnx', convolutions, products, group)) == kinds


# -- which kind is taken, and when none is ---------------------------------------------------------------------


def trial(name: str, found: float | None, ratio: float = 1.0) -> Trial:
    return Trial(name, found, None if found is None else Speed(2.0, 2.0 / ratio, ratio), '' if found else 'broken')


def test_of_the_kinds_that_are_as_good_as_the_best_the_fastest_is_taken():
    best = int8.best_of
    assert best([trial('a', 80.0), trial('b', 82.0), trial('c', 81.0, 9.0)]).kind == 'b'
    assert best([trial('a', 82.0), trial('b', 81.95, 1.5), trial('c', 81.8, 9.0)]).kind == 'b'
    assert best([trial('a', None), trial('b', 3.0)]).kind == 'b'
    with pytest.raises(CheckpointError, match=r'in no way \(a: broken\)'):
        best([trial('a', None), trial('b', None)])


@pytest.fixture
def judged(files, tmp_path, monkeypatch):
    """A model whose fp32 scores say what is true: fp32 has an mAP of 100; `table`, and `out` with an older file."""
    monkeypatch.setattr(int8, 'export_onnx', lambda checkpoint, out: copied(files['rn'].path, out))
    model = files['rn'].model
    write_table(tmp_path / 'photos', model.class_names)
    paths = sorted((tmp_path / 'photos' / 'images').iterdir())
    scores = np.stack([one.scores for one in cssa_mm.Predictor(model).predict(paths)])
    shown = scores > np.median(scores, axis=0)
    lines = [';'.join(np.array(model.class_names)[row]) or 'none' for row in shown]
    rows = [('image', 'labels'), *((path.name, line) for path, line in zip(paths, lines, strict=True))]
    with (tmp_path / 'photos' / 'labels.csv').open('w', newline='') as file:
        csv.writer(file).writerows(rows)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'model.onnx').write_text('older')
    return SimpleNamespace(model=model, table=tmp_path / 'photos', out=tmp_path / 'out' / 'model.onnx')


def copied(source, out):
    shutil.copy(source, out)
    shutil.copy(source.with_name('run_onnx.py'), out.with_name('run_onnx.py'))
    return SimpleNamespace(path=out)


def test_nothing_is_written_where_the_map_falls_by_more_than_one(judged, files, monkeypatch):
    monkeypatch.setattr(int8, 'quantise', lambda source, out, kind, images: shutil.copy(files['timm'].path, out))
    with pytest.raises(ConfigError, match=r'--int8: found mAP .* and 100.00 with fp32, on 20 images') as error:
        export_int8(checkpoint=judged.model, out=judged.out, calibration_data=judged.table)
    assert '\n' not in str(error.value)
    assert [path.name for path in judged.out.parent.iterdir()] == ['model.onnx']
    assert judged.out.read_text() == 'older'


def test_a_kind_that_fails_is_told_of_and_another_is_taken(judged, monkeypatch):
    def some(source, out, kind, images):
        if kind.name == STATIC[0].name:
            raise RuntimeError('no\nroom')
        shutil.copy(source, out)

    monkeypatch.setattr(int8, 'quantise', some)
    result = export_int8(checkpoint=judged.model, out=judged.out, calibration_data=judged.table)
    assert result.trials[0] == Trial(STATIC[0].name, None, None, 'RuntimeError: no room')
    assert result.kind != STATIC[0].name
    assert 'failed: RuntimeError: no room' in result.text()
    assert (result.map_fp32, result.map_int8, result.same_labels) == (100, 100, 100)
    monkeypatch.setattr(int8, 'quantise', lambda *details: 1 / 0)
    with pytest.raises(CheckpointError, match='in no way'):
        export_int8(checkpoint=judged.model, out=judged.out, calibration_data=judged.table)


def test_a_file_that_takes_one_image_at_a_time_is_no_export(judged, files, monkeypatch):
    def frozen(source, out, kind, images):
        content = onnx.load(str(source))
        content.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        onnx.save(content, str(out))

    monkeypatch.setattr(int8, 'quantise', frozen)
    with pytest.raises(CheckpointError, match='in no way'):
        export_int8(checkpoint=judged.model, out=judged.out, calibration_data=judged.table)


@pytest.mark.parametrize('name', ['model.pt', 'model'])
def test_another_ending_is_refused(judged, name):
    with pytest.raises(ConfigError, match=r'ends in \.onnx'):
        export_int8(checkpoint=judged.model, out=judged.out.with_name(name), calibration_data=judged.table)


# -- a real tower ----------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """The demo's CLIP, untrained, as int8 by the command, with scenes and their labels in a table."""
    folder = tmp_path_factory.mktemp('demo')
    (folder / 'scenes' / 'images').mkdir(parents=True)
    rows = [('image', 'labels')]
    for index in range(120):
        scene = demo_scene('test', 0, index)
        scene.image.save(folder / 'scenes' / 'images' / f'{index:03}.png')
        rows.append((f'{index:03}.png', ';'.join(CLASS_NAMES[label] for label in sorted(set(scene.classes)))))
    with (folder / 'scenes' / 'labels.csv').open('w', newline='') as file:
        csv.writer(file).writerows(rows)
    model = cssa_mm.zero_shot(class_names=CLASS_NAMES, model_name='cssa-demo-rn', pretrained='demo', size=128)
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    with pytest.MonkeyPatch.context() as patch:
        # Few images, and the fp32 file is kept for the comparison.
        patch.setattr(int8, 'RANGE_IMAGES', 12)
        patch.setattr(int8_data, 'MOST_FITTED', 24)
        patch.setattr(int8, 'export_onnx', lambda checkpoint, out: kept_export(checkpoint, out, folder))
        words = ['export', '--onnx', '--int8', '--checkpoint', folder / 'model.pth', '--out', folder / 'int8.onnx']
        printed = io.StringIO()
        with redirect_stdout(printed):
            assert main([*map(str, words), '--calibration-data', str(folder / 'scenes')]) == 0
    return SimpleNamespace(folder=folder, model=model, path=folder / 'int8.onnx', text=printed.getvalue())


def kept_export(checkpoint, out, folder):
    result = export_onnx(checkpoint=checkpoint, out=out)
    shutil.copy(result.path, folder / 'fp32.onnx')
    return result


def test_what_it_says_of_itself_is_what_it_does(demo):
    metadata = {entry.key: entry.value for entry in onnx.load(str(demo.path)).metadata_props}
    facts = json.loads(metadata['int8'])
    _, measured = two_halves(demo.folder / 'scenes', demo.model)
    images = list(measured.pixels(demo.model.view))
    scores = {name: scores_by_hand(demo.folder / f'{name}.onnx', images) for name in ('fp32', 'int8')}
    truth = measured.labels == 1
    classes = [c for c in range(len(CLASS_NAMES)) if 0 < truth[:, c].sum() < len(truth)]
    for name, found in scores.items():
        expected = np.mean([average_precision_score(truth[:, c], found[:, c]) for c in classes])
        assert facts[f'map_{name}'] == pytest.approx(100 * expected)
        assert f'{100 * expected:.2f}' in demo.text
    assert facts['map_fp32'] > 30  # it does rank them
    assert facts['map_fp32'] - facts['map_int8'] <= 1
    assert (facts['images'], facts['classes']) == (60, len(classes))
    assert facts['mean_change'] == pytest.approx(np.abs(scores['fp32'] - scores['int8']).mean())
    assert facts['mean_change'] > 0
    assert facts['same_labels'] == pytest.approx(
        100 * (scores['fp32'].argmax(1) == scores['int8'].argmax(1)).mean(), abs=5
    )
    assert set(facts['tried']) == {kind.name for kind in STATIC}
    assert all(kind.name in demo.text for kind in STATIC)
    assert metadata['class_names'] == json.dumps(list(CLASS_NAMES))


def test_it_is_smaller_and_runs_as_any_other_file(demo):
    assert demo.path.stat().st_size < 0.7 * (demo.folder / 'fp32.onnx').stat().st_size
    assert (demo.folder / 'run_onnx.py').is_file()
    scorer = open_scorer(demo.path)
    assert scorer.facts()['int8']['kind'] in {kind.name for kind in STATIC}
    assert scorer.class_names == list(CLASS_NAMES)
    images = sorted((demo.folder / 'scenes' / 'images').iterdir())[:5]
    expected = np.stack([one.scores for one in cssa_mm.Predictor(demo.model).predict(images)])
    found = np.stack([one.scores for one in cssa_mm.Predictor(scorer, batch_size=5).predict(images)])
    assert 0 < np.abs(found - expected).max() < 0.2
    alone = np.stack([one.scores for one in cssa_mm.Predictor(scorer, batch_size=1).predict(images)])
    np.testing.assert_allclose(found, alone, atol=1e-5)
