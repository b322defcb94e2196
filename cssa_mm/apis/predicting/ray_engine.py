"""Score images on a cluster by Ray Data: tasks decode on its CPUs, and actors hold the model.

driver                   tasks, on any CPU      actors, one a GPU or for two CPUs     driver
paths, batch by batch -> pixels of a batch   -> scores of a batch                  -> shards, in the order of the list

Batches are those of the local path and go through the same functions, so the scores are the same. The driver ships the
model through Ray's object store and writes all files: workers need the package and the images, and nothing else.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle  # nosec B403 # what our own workers send
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from cssa_mm.apis.predicting.loading import Task
from cssa_mm.apis.predicting.ray_workers import RowScorer, load_row, packed
from cssa_mm.apis.predicting.scoring import ReadBatch
from cssa_mm.apis.scorer import Scorer
from cssa_mm.errors import ConfigError, CSSAError, DataError, ToolboxError, nearest
from cssa_mm.version import __version__

ENGINES = ('local', 'ray')
SHARE = 0.5  # CPUs of an actor, and of a task: actors of whole CPUs could leave none to the tasks, and wait for ever
TRIES_AGAIN = 2  # Ray's own default has no end: an image that kills its worker would kill the next one, and so on
MOST_BLOCKS = 10_000  # each batch is a unit of work of its own, in lists of up to 320,000 images
DEVICES = ('cpu', 'cuda')


class Plan(NamedTuple):
    """What a cluster does at a time: actors that score on a device, and tasks that decode."""

    actors: int
    tasks: int
    device: str


def check_engine(
    engine: str,
    checkpoint: Any,
    *,
    workers: int | None,
    device: str | torch.device | None,
    ray_address: str | None,
    actors: int | None,
) -> None:
    """Refuse options that do not fit the engine.

    Raises:
        ConfigError: the engine is unknown, or an option or the checkpoint is for the other one.
        ToolboxError: Ray is needed and not installed.
    """
    if engine not in ENGINES:
        raise ConfigError(f"engine: found '{engine}', expected local or ray;{nearest(engine, ENGINES)}".rstrip(';'))
    if engine == 'local':
        for name, value in (('ray_address', ray_address), ('actors', actors)):
            if value is not None:
                raise ConfigError(f'{name}: found {value!r} with the local engine, expected it with --engine ray alone')
        return
    if workers is not None:
        raise ConfigError(
            f'workers: found {workers} with engine ray, which decodes on all CPUs of its cluster, expected none; leave '
            'it out'
        )
    if device is not None and str(device) not in DEVICES:
        raise ConfigError(f"device: found '{device}' with engine ray, expected cpu or cuda")
    if checkpoint is not None and str(checkpoint).endswith('.onnx'):
        raise ConfigError(
            f"checkpoint: found the ONNX file '{checkpoint}' with engine ray, expected a checkpoint of training or a "
            'hub folder; give that, or leave out --engine ray'
        )
    imported_ray()


def imported_ray() -> Any:
    """The module `ray`, with `ray.data`; it reports no usage.

    Raises:
        ToolboxError: it is not installed.
    """
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        importlib.import_module('ray.data')
        return importlib.import_module('ray')
    except ImportError as error:
        raise ToolboxError(
            f'engine: found no Ray ({" ".join(str(error).split())}), expected it for engine ray; install it: pip '
            "install 'cssa_mm[ray]'"
        ) from error


def read_on_ray(
    tasks: Iterable[Task],
    scorer: Scorer,
    *,
    address: str | None = None,
    actors: int | None = None,
    device: str | torch.device | None = None,
) -> Generator[ReadBatch, None, None]:
    """Score batches of images on a cluster, in their order.

    A worker that dies is started again, and its batch scored again, twice at most.

    Args:
        tasks: the batches.
        scorer: a model of torch.
        address: of a running cluster; by default the variable RAY_ADDRESS, else a cluster starts on this machine and
            ends with the scores. Where this process is connected already, that cluster is taken.
        actors: processes that hold the model; by default one for each GPU, or for two CPUs.
        device: 'cpu' or 'cuda'; by default what the cluster has.

    Raises:
        ConfigError: there is no such cluster, it is too small, or its workers have another version of this package.
        DataError: workers died again and again.
        ToolboxError: Ray is not installed.
    """
    ray = imported_ray()
    with _connected(ray, address):
        plan = plan_for(ray.cluster_resources(), actors, device)
        model = ray.put(packed(scorer))
        rows = [dict(item=pickle.dumps(task)) for task in tasks]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
        for handler in logging.getLogger('ray.data').handlers:
            if isinstance(handler, logging.StreamHandler):  # the terminal's: its own log file keeps everything
                handler.setLevel(logging.CRITICAL)
        data.context.enable_progress_bars = False
        data.context.print_on_execution_start = False
        data.context.execution_options.preserve_order = True
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', '.*ray_remote_args')  # the only way to bound what Ray tries again
            data = data.map(
                load_row,
                fn_kwargs=dict(view=scorer.view, version=__version__),
                compute=ray.data.TaskPoolStrategy(size=plan.tasks),
                num_cpus=SHARE,
                max_retries=TRIES_AGAIN,
            ).map(
                RowScorer,
                fn_constructor_args=(model, plan.device, __version__),
                compute=ray.data.ActorPoolStrategy(size=plan.actors),
                num_cpus=SHARE,
                num_gpus=int(plan.device == 'cuda'),
                max_restarts=TRIES_AGAIN,
                max_task_retries=TRIES_AGAIN,
            )
        try:
            for row in data.iter_rows():
                yield pickle.loads(row['item'])  # nosec B301 # of our own workers
        except ray.exceptions.RayError as error:
            raise _in_one_line(error) from error


def plan_for(resources: Mapping[str, float], actors: int | None, device: str | torch.device | None) -> Plan:
    """What a cluster of these resources (`CPU`, `GPU`) does at a time.

    Raises:
        ConfigError: it has no GPU where one is asked for, or no room for so many actors.
    """
    cpus, gpus = int(resources.get('CPU', 0)), int(resources.get('GPU', 0))
    kind = str(device) if device is not None else 'cuda' if gpus else 'cpu'
    if kind == 'cuda' and not gpus:
        raise ConfigError("device: found 'cuda' for a cluster of Ray without GPUs, expected cpu; leave it out")
    most = min(gpus, 2 * cpus - 1) if kind == 'cuda' else 2 * cpus - 1
    wanted = actors or (min(gpus, most) if kind == 'cuda' else max(1, cpus // 2))
    if wanted > most:
        raise ConfigError(
            f'actors: found {wanted} for a cluster of Ray with {cpus} CPUs and {gpus} GPUs, expected at most {most} on '
            f'{kind}; give fewer, or start more machines first'
        )
    return Plan(wanted, max(1, cpus - wanted), kind)


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get('RAY_ADDRESS') or 'local'
    own: dict[str, Any] = dict(include_dashboard=False) if address == 'local' else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"ray_address: found no cluster of Ray at '{address}' ({' '.join(str(error).split())[:200]}), expected a "
            'running one; start it with ray start, or leave the address out'
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _in_one_line(error: BaseException) -> CSSAError:
    """The error of ours that a worker raised; else what Ray says, in a line."""
    inner: BaseException | None = error
    while inner is not None:
        cause = getattr(inner, 'cause', None) or inner.__cause__
        if isinstance(inner, CSSAError) and not isinstance(cause, CSSAError):
            return type(inner)(str(inner).splitlines()[-1])
        inner = cause
    said = ' '.join(str(error).split())
    return DataError(
        f'ray: found that workers failed ({type(error).__name__}: {said[:160]}), expected that they score to the end; '
        'finished shards are kept, so run the same command again; a worker that dies is often short of memory'
    )
