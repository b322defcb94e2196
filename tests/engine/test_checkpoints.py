import json

import pytest
import torch
from mmengine.runner import Runner


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
    runner = Runner.from_cfg(tiny_config(**{'default_hooks.checkpoint.save_best': 'ema/mAP'}))
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
    other = Runner.from_cfg(tiny_config(load_from=str(tmp_path / 'run' / 'epoch_3.pth'), work_dir=str(tmp_path / 'b')))
    found = other.test()
    expected = trained.val_loop.run()
    assert json.dumps(found) == json.dumps(expected)


def test_a_run_is_resumed_from_its_checkpoint(tiny_config, tmp_path):
    path = tmp_path / 'run' / 'epoch_2.pth'
    short = tiny_config(**{'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 9})
    Runner.from_cfg(short).train()
    runner = Runner.from_cfg(tiny_config(load_from=str(path), resume=True))
    before = torch.load(path, weights_only=True)['state_dict']
    runner.train()
    assert runner.epoch == 3
    assert runner.iter == 2 + 4 + 4
    assert int(runner.model.teacher.steps) == 10
    assert torch.equal(runner.model.context_head.assignment.cpu(), before['context_head.assignment'])
    assert not torch.equal(runner.model.head.bias.cpu(), before['head.bias'])
