"""The engine ray: what it refuses, and that a cluster gives what the local engine gives.

A real cluster with killed workers: bash tools/acceptance.sh ray. Most tests here have a stand-in for Ray: what tasks
and actors run, it runs in this process, and pickles go through it as through the real one.
"""

import sys
from types import SimpleNamespace

import pytest

import cssa_mm
from cssa_mm.apis.predicting import ray_engine, ray_workers
from cssa_mm.apis.predicting.ray_engine import plan_for
from cssa_mm.errors import ConfigError, DataError, ToolboxError


class RayError(Exception):
    """What Ray raises; the error of a worker is its `cause`."""

    cause = None


class StandIn:
    """As much of `ray` and `ray.data` as the engine uses."""

    def __init__(self):
        self.data = SimpleNamespace(
            from_items=self.from_items,
            TaskPoolStrategy=lambda size: ('tasks', size),
            ActorPoolStrategy=lambda size: ('actors', size),
        )
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.options, self.calls, self.stops_after, self.error = [], [], None, None

    def is_initialized(self):
        return False

    def init(self, **options):
        self.calls.append(options)

    def shutdown(self):
        self.calls.append('shutdown')

    def cluster_resources(self):
        return dict(CPU=2.0)

    def put(self, content):
        return content

    def from_items(self, rows, override_num_blocks):
        self.rows, self.functions = rows, []
        self.context = SimpleNamespace(execution_options=SimpleNamespace())
        return self

    def map(self, function, fn_kwargs=None, fn_constructor_args=None, **options):
        self.options.append(options)
        if fn_constructor_args is None:
            self.functions.append(lambda row: function(row, **fn_kwargs))
        else:
            self.functions.append(function(*fn_constructor_args))
        return self

    def iter_rows(self):
        for number, row in enumerate(self.rows):
            if number == self.stops_after:
                raise self.error
            for function in self.functions:
                row = function(row)
            yield row


@pytest.fixture
def ray(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(ray_engine, 'imported_ray', lambda: stand_in)
    monkeypatch.delenv('RAY_ADDRESS', raising=False)
    return stand_in


@pytest.fixture
def predict(tiny_checkpoint, photos, tmp_path):
    """predict(out, **options) -> the result of a run on the photos; by Ray unless another engine is given."""

    def call(out='ray', **options):
        given = dict(images=photos, checkpoint=tiny_checkpoint, out=tmp_path / out, engine='ray', shard_size=4)
        return cssa_mm.predict(**given | dict(batch_size=3, device='cpu') | options)

    return call


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*.*') if path.is_file()}


def test_a_cluster_writes_the_same_bytes_as_the_local_engine(ray, predict, photos):
    (photos / 'img3.png').write_bytes(b'no image')
    expected = files_of(predict('local', engine='local', workers=0).out)
    found = files_of(predict(actors=2).out)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert len([name for name in found if name.endswith('.npz')]) == 3
    assert ray.calls == [ray.calls[0], 'shutdown']
    assert (ray.calls[0]['address'], ray.calls[0]['include_dashboard']) == ('local', False)


def test_actors_leave_cpus_to_the_tasks_and_no_worker_is_tried_for_ever(ray, predict):
    predict(actors=2)
    tasks, actors = ray.options
    assert (tasks['compute'], actors['compute']) == (('tasks', 1), ('actors', 2))
    assert 2 * actors['num_cpus'] + tasks['num_cpus'] <= 2
    assert tasks['max_retries'] == actors['max_restarts'] == actors['max_task_retries'] == 2


def test_a_run_whose_workers_died_is_one_line_and_the_next_one_goes_on(ray, predict):
    expected = files_of(predict('local', engine='local', workers=0).out)
    ray.stops_after, ray.error = 3, RayError('The actor died\nunexpectedly')
    with pytest.raises(DataError, match='The actor died unexpectedly.*run the same command again') as refused:
        predict()
    assert '\n' not in str(refused.value)
    assert ray.calls[-1] == 'shutdown'
    ray.stops_after = None
    result = predict()
    assert result.scored == 6
    assert files_of(result.out)['scores.parquet'] == expected['scores.parquet']


@pytest.mark.parametrize('order', [slice(None, None, -1), slice(1, None), slice(0, -1)])
def test_batches_that_are_lost_or_come_in_another_order_are_never_written(ray, predict, monkeypatch, order):
    rows = ray.iter_rows
    monkeypatch.setattr(ray, 'iter_rows', lambda: iter(list(rows())[order]))
    with pytest.raises(DataError, match='that came back from the workers, expected'):
        predict(shard_size=10)


def test_an_error_of_ours_in_a_worker_comes_as_it_is(ray, predict):
    ray.stops_after, ray.error = 0, RayError('Traceback ...')
    ray.error.cause = ConfigError('batch_size: found 64 images')
    with pytest.raises(ConfigError, match='^batch_size: found 64 images$'):
        predict()


def test_a_worker_with_another_version_is_refused(ray, predict, monkeypatch):
    monkeypatch.setattr(ray_workers, '__version__', '0.0.9')
    with pytest.raises(ConfigError, match=r'found cssa_mm 0\.0\.9 on a worker, expected'):
        predict()


@pytest.mark.parametrize(('variable', 'option', 'address'), [
    ('10.0.0.1:6379', None, '10.0.0.1:6379'),
    ('10.0.0.1:6379', '10.0.0.2:6379', '10.0.0.2:6379'),
])  # fmt: skip
def test_a_running_cluster_is_taken(ray, predict, monkeypatch, variable, option, address):
    monkeypatch.setenv('RAY_ADDRESS', variable)
    predict(ray_address=option)
    assert ray.calls[0]['address'] == address
    assert 'include_dashboard' not in ray.calls[0]


def test_a_cluster_that_is_not_there_is_one_line(ray, predict, monkeypatch):
    def refuse(**options):
        raise ConnectionError('Could not find\nany running instance')

    monkeypatch.setattr(ray, 'init', refuse)
    with pytest.raises(ConfigError, match="found no cluster of Ray at '10.0.0.9:6379' .Could not find any running"):
        predict(ray_address='10.0.0.9:6379')


@pytest.mark.parametrize(('resources', 'actors', 'device', 'plan'), [
    (dict(CPU=2.0), None, None, (1, 1, 'cpu')),
    (dict(CPU=1.0), None, None, (1, 1, 'cpu')),
    (dict(CPU=64.0), None, None, (32, 32, 'cpu')),
    (dict(CPU=96.0, GPU=8.0), None, None, (8, 88, 'cuda')),
    (dict(CPU=96.0, GPU=8.0), 4, 'cpu', (4, 92, 'cpu')),
])  # fmt: skip
def test_a_plan_goes_by_the_resources(resources, actors, device, plan):
    assert tuple(plan_for(resources, actors, device)) == plan


@pytest.mark.parametrize(('resources', 'actors', 'device', 'message'), [
    (dict(CPU=2.0), 4, None, 'actors: found 4 for a cluster of Ray with 2 CPUs and 0 GPUs, expected at most 3'),
    (dict(CPU=8.0, GPU=1.0), 2, None, 'expected at most 1 on cuda'),
    (dict(CPU=8.0), None, 'cuda', "device: found 'cuda' for a cluster of Ray without GPUs"),
])  # fmt: skip
def test_a_cluster_that_is_too_small_is_refused(resources, actors, device, message):
    with pytest.raises(ConfigError, match=message):
        plan_for(resources, actors, device)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(engine='rey'), "engine: found 'rey', expected local or ray; Did you mean 'ray'?"),
    (dict(engine='local', actors=2), 'actors: found 2 with the local engine'),
    (dict(engine='local', ray_address='auto'), "ray_address: found 'auto' with the local engine"),
    (dict(actors=0), 'actors: found 0'),
    (dict(workers=2), 'workers: found 2 with engine ray'),
    (dict(device='mps'), "device: found 'mps' with engine ray"),
    (dict(checkpoint='model.onnx'), "checkpoint: found the ONNX file 'model.onnx' with engine ray"),
])  # fmt: skip
def test_an_option_that_does_not_fit_is_one_line_and_leaves_nothing(ray, predict, tmp_path, options, message):
    with pytest.raises(ConfigError) as refused:
        predict(**options)
    assert message in str(refused.value)
    assert '\n' not in str(refused.value)
    assert not (tmp_path / 'ray').exists()


def test_without_ray_the_line_says_how_to_install_it(predict, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    monkeypatch.setitem(sys.modules, 'ray.data', None)
    with pytest.raises(ToolboxError, match=r"install it: pip install 'cssa_mm\[ray\]'$") as refused:
        predict()
    assert '\n' not in str(refused.value)
    assert not (tmp_path / 'ray').exists()


def test_a_real_cluster_gives_the_same_bytes(predict, monkeypatch):
    pytest.importorskip('ray')
    monkeypatch.delenv('RAY_ADDRESS', raising=False)
    expected = files_of(predict('local', engine='local', workers=0).out)
    assert files_of(predict(actors=1).out) == expected
