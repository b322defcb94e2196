"""A training that is watched: what a service is shown, and that the training is the same as without it."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import VISBACKENDS
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend
from PIL import Image

import cssa_mm
from cssa_mm.engine import LiveViewHook
from cssa_mm.engine.live_pictures import varied_images
from cssa_mm.engine.live_view_hook import MOST_LABELS
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.pseudo_label_records import read_records
from cssa_mm.semi import PseudoLabelHook
from cssa_mm.visualization.explanation_figure import MOST

KEYS = {
    'model.evidence': dict(type='DiscriminantEvidence'),
    'model.neighbours': dict(type='Neighbours', k=5),
    'default_hooks.live_view': dict(type='LiveViewHook', interval=2, num_images=2, num_classes=3),
    'default_hooks.checkpoint.interval': 3,  # else each epoch fits the evidence anyway
    'report': False,
    # Features are kept, and training reads no image.
    'train_dataloader.dataset.pipeline': [
        dict(type='View', size=None),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip')),
    ],
}
SERVICES = [dict(type='LocalVisBackend'), dict(type='StubVisBackend')]


@VISBACKENDS.register_module()
class StubVisBackend(BaseVisBackend):
    """Keeps what it is given; `fails` makes it raise at the first picture, as a service may."""

    made = []

    def __init__(self, save_dir, fails=False):
        super().__init__(save_dir)
        self.fails = fails
        self.scalars, self.pictures, self.tried = {}, {}, 0
        self.made.append(self)

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **options):
        self.tried += 1
        if self.fails:
            raise TimeoutError('the service\nis away')
        self.pictures[name, step] = image

    def add_scalars(self, scalar_dict, step=0, file_path=None, **options):
        for name, value in scalar_dict.items():
            self.scalars.setdefault(name, {})[step] = value


@pytest.fixture(scope='module', autouse=True)
def unformatted():
    """The runner formats its config three times, which takes seconds and changes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)
        yield


@pytest.fixture(scope='module')
def train(config, tmp_path_factory):
    """train(**overrides) -> its work directory, its model, and the stub that it was shown to, if any."""

    def call(tensorboard=False, **overrides):
        folder = tmp_path_factory.mktemp('live')
        StubVisBackend.made.clear()
        given = KEYS | overrides
        cssa_mm.train(config=str(config), work_dir=folder, tensorboard=tensorboard, overrides=given)
        (log,) = folder.glob('*/*.log')
        stub = StubVisBackend.made[-1] if StubVisBackend.made else None
        return SimpleNamespace(folder=folder, stub=stub, log=log.read_text())

    return call


@pytest.fixture(scope='module')
def watched(train):
    pytest.importorskip('tensorboard')
    return train(tensorboard=True, **{'visualizer.vis_backends': SERVICES})


@pytest.fixture(scope='module')
def events(watched):
    """What TensorBoard reads back."""
    reader = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    (file,) = watched.folder.rglob('events.out.tfevents.*')
    return reader.EventAccumulator(str(file), size_guidance=dict(images=0, scalars=0)).Reload()


def state(folder):
    content = torch.load(folder / 'epoch_3.pth', weights_only=False)
    return content['state_dict'], content['optimizer']


def test_a_training_that_is_watched_is_the_same_to_the_bit(train, watched):
    """Evidence and neighbours included, which the pictures fit at other times than the training does."""
    plain = train()
    (found, moments), (expected, before) = state(watched.folder), state(plain.folder)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert str(moments) == str(before)
    files = [(each.folder / 'pseudo_labels.jsonl').read_bytes() for each in (watched, plain)]
    assert files[0] == files[1]
    assert 'Live view' not in plain.log
    assert 'Calibration: training again 2 times' in plain.log
    assert not list(plain.folder.rglob('vis_image'))


def test_any_service_gets_pseudo_labels_thresholds_and_metrics_by_epoch(watched):
    scalars, records = watched.stub.scalars, read_records(watched.folder)
    assert [record['epoch'] for record in records] == [2, 3]
    assert scalars['pseudo_labels/positives'] == {record['epoch']: sum(record['positives']) for record in records}
    named = [name for name in scalars if name.startswith('positive_threshold_of/')]
    assert len(named) == 3
    assert list(scalars['ema/mAP']) == list(scalars['student/mAP']) == [3]
    assert len(scalars['loss']) == 10


def test_any_service_gets_pictures_of_the_same_images_every_interval_and_at_the_end(watched):
    pictures = watched.stub.pictures
    names = sorted({name for name, _ in pictures})
    assert len(names) == 2
    assert all(re.fullmatch(r'explain/5\d\d\.png', name) for name in names)
    assert sorted(pictures) == [(name, step) for name in names for step in (2, 3)]
    for picture in pictures.values():
        assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
        assert picture.std() > 30
    for name in names:  # the model has learned between them
        assert not np.array_equal(pictures[name, 2], pictures[name, 3])
        (file,) = watched.folder.glob(f'*/vis_data/vis_image/{name}_2.png')
        np.testing.assert_array_equal(np.asarray(Image.open(file)), pictures[name, 2])


def test_tensorboard_reads_the_same(watched, events):
    stub = watched.stub
    scalars = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()['scalars']}
    for name in ('loss', 'ema/mAP', 'pseudo_labels/positives', 'positive_thresholds/median'):
        assert scalars[name] == pytest.approx(stub.scalars[name]), name
    assert len(events.Tags()['images']) == 2
    for tag in events.Tags()['images']:
        for event in events.Images(tag):
            picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            np.testing.assert_array_equal(picture, stub.pictures[tag, event.step])
    assert f'Live view: tensorboard --logdir {watched.folder}\n' in watched.log
    assert 'Live view: StubVisBackend\n' in watched.log


def test_a_service_that_fails_costs_a_line_and_not_the_training(train):
    failing = [dict(type='StubVisBackend', fails=True)]
    options = {'visualizer.vis_backends': failing, 'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 9}
    run = train(**options, **{'default_hooks.live_view.interval': 1})
    assert (run.folder / 'epoch_2.pth').is_file()
    assert 'Live view: it ends here (TimeoutError: the service is away); the training goes on' in run.log
    assert run.stub.tried == 1


def test_without_validation_there_are_no_pictures_and_a_line_says_so(monkeypatch, tmp_path):
    lines = []
    monkeypatch.setattr('cssa_mm.engine.live_view_hook.print_log', lambda text, *options: lines.append(text))
    visualizer = Visualizer(vis_backends=[dict(type='StubVisBackend')], save_dir=str(tmp_path))
    hook, runner = LiveViewHook(interval=1), SimpleNamespace(visualizer=visualizer, val_loop=None, work_dir='w')
    hook.before_train(runner)
    assert lines[1].startswith('Live view: no pictures, as there are no validation images')
    runner.hooks, runner.epoch, runner.max_epochs = [hook], 0, 1
    hook.after_train_epoch(runner)
    assert not StubVisBackend.made[-1].pictures


@pytest.mark.parametrize(('epoch', 'expected'), [(0, 0), (1, 1), (2, 1), (3, 0)])
def test_every_rank_fits_the_evidence_before_pictures_and_at_no_other_time(epoch, expected, monkeypatch):
    monkeypatch.setattr('cssa_mm.engine.live_view_hook.is_main_process', lambda: False)
    calls, algorithm = [], PseudoLabelHook()
    algorithm.semi_supervision = SimpleNamespace(refresh=lambda: calls.append(epoch))
    hook = LiveViewHook(interval=2)
    hook._indices = [0] if epoch < 3 else []
    hook.after_train_epoch(SimpleNamespace(hooks=[algorithm, hook], epoch=epoch, max_epochs=3))
    assert len(calls) == expected


def test_images_that_show_a_class_which_none_before_shows_come_first():
    labels = np.array([[1, 0, 0]] * 20 + [[0, 0, -1]] * 20 + [[0, 1, 0], [1, 0, 1]])
    for seed in range(5):
        found = varied_images(labels, 4, seed)
        assert len(set(found)) == 4
        assert {40, 41} <= set(found[:3])
        assert found == varied_images(labels, 4, seed)
    assert varied_images(labels, 0) == []
    assert len(varied_images(labels, 99)) == 42


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(interval=0), 'interval: found 0, expected a whole number from 1'),
        (dict(num_images=-1), 'num_images: found -1, expected a whole number from 0'),
        (dict(num_labels=13), 'num_labels: found 13, expected a whole number from 1 to 12'),
        (dict(image_ids='a.jpg'), "image_ids: found 'a.jpg', expected a list"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=f'^default_hooks.live_view.{message}'):
        LiveViewHook(**options)


def test_images_are_named_by_their_ids(train):
    with pytest.raises(ConfigError, match=r"live_view.image_ids: found '50', expected ids .*Did you mean '5\d\d'\?"):
        train(**{'visualizer.vis_backends': SERVICES, 'default_hooks.live_view.image_ids': ['501', '50']})


def test_a_picture_has_room_for_as_many_labels_as_the_hook_takes():
    assert MOST_LABELS == MOST
