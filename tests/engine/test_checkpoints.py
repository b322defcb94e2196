import json
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from cssa_mm.engine import checkpoints
from cssa_mm.engine.checkpoints import RESUMABLE, read_checkpoint
from cssa_mm.engine.latest import check_checkpoint
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import CheckpointError


def is_plain(value) -> bool:
    """Whether a value is made of nothing but plain data and tensors."""
    if isinstance(value, dict):
        return all(type(key) in (str, int) and is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or type(value) in (str, int, float, bool) or isinstance(value, torch.Tensor)


@pytest.fixture
def trained(tiny_config):
    """A finished run that keeps its best and its last checkpoint."""
    runner = CSSARunner.from_cfg(tiny_config(**{'default_hooks.checkpoint.save_best': 'ema/mAP'}))
    runner.train()
    return runner


@pytest.mark.smoke
def test_every_checkpoint_loads_with_weights_only_and_nothing_allow_listed(trained, tmp_path):
    paths = sorted((tmp_path / 'run').glob('*.pth'))
    assert [path.name for path in paths] == ['best_ema_mAP_epoch_3.pth', 'epoch_2.pth', 'epoch_3.pth']
    allowed = torch.serialization.get_safe_globals()  # torch lists some of its own
    assert all(item.__module__.startswith('torch.') for item in allowed)
    for path in paths:
        checkpoint = torch.load(path, weights_only=True)
        assert {'state_dict', 'meta', 'message_hub'} <= set(checkpoint)
        assert is_plain(checkpoint)
        assert checkpoint['message_hub']['log_scalars'] == {}


def test_plain_runtime_information_survives(trained, tmp_path):
    hub = torch.load(tmp_path / 'run' / 'epoch_3.pth', weights_only=True)['message_hub']
    assert hub['runtime_info']['max_epochs'] == 3
    assert hub['runtime_info']['best_score'] > 0
    assert hub['runtime_info']['best_ckpt'].endswith('best_ema_mAP_epoch_3.pth')
    assert set(hub['resumed_keys']) <= set(hub['runtime_info'])


def test_a_checkpoint_is_loaded_by_mmengine_s_own_loader(trained, tiny_config, tmp_path):
    config = tiny_config(load_from=str(tmp_path / 'run' / 'epoch_3.pth'), work_dir=str(tmp_path / 'b'))
    found = CSSARunner.from_cfg(config).test()
    expected = trained.val_loop.run()
    assert json.dumps(found) == json.dumps(expected)


def test_a_run_is_resumed_from_its_checkpoint(tiny_config, tmp_path):
    path = tmp_path / 'run' / 'epoch_2.pth'
    short = tiny_config(**{'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 9})
    CSSARunner.from_cfg(short).train()
    runner = CSSARunner.from_cfg(tiny_config(load_from=str(path), resume=True))
    before = torch.load(path, weights_only=True)['state_dict']
    runner.train()
    assert runner.epoch == 3
    assert runner.iter == 2 + 4 + 4
    assert int(runner.model.teacher.steps) == 10
    assert torch.equal(runner.model.context_head.assignment.cpu(), before['context_head.assignment'])
    assert not torch.equal(runner.model.head.bias.cpu(), before['head.bias'])


# -- before a run --------------------------------------------------------------------------------------------------


def test_what_is_read_lies_on_the_cpu(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(2))), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['state_dict']['a'].tolist() == [1, 1]


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / 'none.pth', tmp_path):
        with pytest.raises(CheckpointError) as error:
            read_checkpoint(path)
        assert str(error.value).startswith(f"checkpoint: found no file '{path}', expected one that ")


class Foreign:
    pass


BROKEN = dict(empty=b'', text=b'no checkpoint', pickle=pickle.dumps(dict(a=1), protocol=2), foreign=None, cut=None)


@pytest.mark.parametrize('content', BROKEN)
def test_a_checkpoint_that_is_broken_or_holds_code_is_refused(tmp_path, content):
    path = tmp_path / 'broken.pth'
    if content == 'foreign':
        torch.save(dict(state_dict={}, meta=Foreign()), path)
    elif content == 'cut':
        torch.save(dict(state_dict=dict(a=torch.ones(1000))), path)
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.write_bytes(BROKEN[content])
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"checkpoint: found '{path}' that cannot be loaded as plain data (")
    assert '\n' not in message


@pytest.fixture
def config(tmp_path):
    """config(**keys) -> a config with a work directory."""
    return lambda **keys: Config(dict(work_dir=str(tmp_path / 'run')) | keys)


@pytest.fixture
def saved(tmp_path):
    """saved(without=()) -> the path of a checkpoint without some of what a resume needs."""

    def save(*without: str) -> str:
        path = tmp_path / 'saved.pth'
        torch.save({key: {} for key in RESUMABLE if key not in without}, path)
        return str(path)

    return save


def test_a_run_that_starts_anew_needs_no_checkpoint(config):
    check_checkpoint(config())
    check_checkpoint(config(load_from=None, resume=False))
    check_checkpoint(config(resume=True))  # nothing to go on from yet


def test_a_checkpoint_at_an_address_is_fetched_and_checked(config, saved, monkeypatch):
    asked, address = [], 'https://host/weights.pth'
    path = saved('optimizer')
    monkeypatch.setattr(checkpoints.fileio, 'get', lambda name: asked.append(name) or Path(path).read_bytes())
    check_checkpoint(config(load_from=address))
    assert asked == [address]
    with pytest.raises(CheckpointError, match=f"found '{address}' without 'optimizer'"):
        check_checkpoint(config(load_from=address, resume=True))

    def refuse(name):
        raise OSError('no\nroute')

    monkeypatch.setattr(checkpoints.fileio, 'get', refuse)
    with pytest.raises(CheckpointError, match=rf"cannot fetch '{address}' \(OSError: no route\), expected a file"):
        check_checkpoint(config(load_from=address))


@pytest.mark.parametrize('resume', [True, False])
def test_the_checkpoint_that_a_run_starts_from_must_be_there(config, resume, tmp_path):
    path = tmp_path / 'none.pth'
    with pytest.raises(CheckpointError, match='found no file'):
        check_checkpoint(config(load_from=str(path), resume=resume))


@pytest.mark.parametrize('missing', RESUMABLE)
def test_a_resume_needs_all_that_training_goes_on_from(config, saved, missing):
    check_checkpoint(config(load_from=saved(), resume=True))
    path = saved(missing)
    check_checkpoint(config(load_from=path))
    with pytest.raises(CheckpointError) as error:
        check_checkpoint(config(load_from=path, resume=True))
    assert str(error.value).startswith(
        f"checkpoint: found '{path}' without '{missing}', expected all that a resume needs"
    )


def test_what_is_no_dict_cannot_be_resumed(config, tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='without a state_dict .it holds a list'):
        check_checkpoint(config(load_from=str(tmp_path / 'list.pth'), resume=True))


def test_a_resume_without_a_path_checks_the_latest_checkpoint_of_the_work_directory(config, saved, tmp_path):
    (tmp_path / 'run').mkdir()
    latest = tmp_path / 'run' / 'last_checkpoint'
    latest.write_text(saved('optimizer') + '\n')
    with pytest.raises(CheckpointError, match="without 'optimizer'"):
        check_checkpoint(config(resume=True))
    check_checkpoint(config())
    latest.write_text(str(tmp_path / 'gone.pth'))
    with pytest.raises(CheckpointError, match='found no file'):
        check_checkpoint(config(resume=True))
