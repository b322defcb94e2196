"""The shipped configs by name: `mmpretrain.list_models('cssa')` and `mmpretrain.get_model('cssa_demo')`."""

from __future__ import annotations

from mmpretrain.apis import ModelHub

from cssa_mm.files import configs_root


def register_models() -> None:
    """Register the shipped configs, if there are any, with mmpretrain's model hub."""
    root = configs_root()
    # The hub refuses a known name, but a second import must not fail.
    if root is not None and not ModelHub.has('cssa_demo'):
        ModelHub.register_model_index(root / 'configs' / 'metafile.yml', config_prefix=root)
