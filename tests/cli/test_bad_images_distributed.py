"""Two processes meet the bad images that one meets, and train as one does."""

import shutil

import pytest

pytestmark = [pytest.mark.cli, pytest.mark.slow, pytest.mark.long]


def test_two_processes_leave_out_the_bad_images_of_both(run, tool, port, write_config, toy_data, read_run, tmp_path):
    """Oracle: one process. The views can't be cached, so each rank reads a part of the unlabelled images."""
    data = shutil.copytree(toy_data, tmp_path / 'data')
    for name in ('103', '104', '120', '121'):
        (data / 'train' / f'{name}.png').write_bytes(b'')
    config = write_config(tmp_path / 'config.py', data=data)
    options = [
        '--cfg-options',
        'default_hooks.bad_images.max_share=0.1',
        'default_hooks.pseudo_labels.feature_cache.gib=0',
    ]
    tool('train.py', config, '--work-dir', tmp_path / 'one', *options)
    done = run('bash', 'tools/dist_train.sh', config, 2, '--work-dir', tmp_path / 'two', *options, PORT=port)
    assert done.returncode == 0, done.stderr[-3000:]
    listed = (tmp_path / 'two' / 'bad_images.txt').read_text()
    assert listed == (tmp_path / 'one' / 'bad_images.txt').read_text()
    assert len(listed.splitlines()) == 4
    one, two = read_run(tmp_path / 'one'), read_run(tmp_path / 'two')
    for step, expected in zip(two.steps, one.steps, strict=True):
        assert step['loss'] == pytest.approx(expected['loss'], rel=1e-6)
    for epoch, expected in zip(two.pseudo_labels, one.pseudo_labels, strict=True):
        assert epoch['positive_thresholds'] == pytest.approx(expected['positive_thresholds'], rel=0, abs=1e-6)
    options[1] = 'default_hooks.bad_images.max_share=0.001'
    done = run('bash', 'tools/dist_train.sh', config, 2, '--work-dir', tmp_path / 'three', *options, PORT=port)
    assert done.returncode != 0
    lines = {line for line in done.stderr.splitlines() if line.startswith('error: ')}
    assert len(lines) == 1
    assert 'bad images among 40 training images, expected at most 1' in lines.pop()
