import pytest

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError


@pytest.mark.parametrize(
    'key', ['work_dir', 'default_hooks.pseudo_labels.feature_cache.folder', 'default_hooks.checkpoint.out_dir']
)
@pytest.mark.parametrize('below', ['', '/below'])
def test_a_folder_that_is_a_file_or_below_one_is_refused_before_anything_is_built(
    tiny_config, tmp_path, monkeypatch, key, below
):
    monkeypatch.setattr('mmengine.runner.Runner.from_cfg', lambda *given: pytest.fail('it is built'))
    (tmp_path / 'file').write_text('x')
    with pytest.raises(ConfigError, match=f'^{key}: found .*is a file.*, expected a folder that can be written to'):
        CSSARunner.from_cfg(tiny_config(**{key: f'{tmp_path}/file{below}'}))
