"""A config as the runner takes it: every key checked, parts that belong together made to agree."""

from __future__ import annotations

from mmengine.config import Config

from cssa_mm.engine.compiling import compile_options
from cssa_mm.engine.config.class_types import name_types
from cssa_mm.engine.config.component_values import check_component_values, check_sections
from cssa_mm.engine.config.data_parts import apply_data
from cssa_mm.engine.config.guard import check_config
from cssa_mm.engine.config.helper_names import drop_helpers
from cssa_mm.engine.config.hooks import check_hooks
from cssa_mm.engine.config.loaders import apply_loaders
from cssa_mm.engine.config.metrics import check_metrics
from cssa_mm.engine.config.optimiser import check_optimiser
from cssa_mm.engine.config.pixels import apply_pixels
from cssa_mm.engine.config.runtime_values import check_runtime_values
from cssa_mm.engine.config.schedule_checks import check_schedules
from cssa_mm.engine.config.test_time import bare_config, complete_views
from cssa_mm.engine.config.train_loops import apply_loops
from cssa_mm.engine.config.vis_backends import apply_vis_backends
from cssa_mm.features.view import apply_view
from cssa_mm.models.toolbox_losses import check_loss


def prepare_config(config: Config) -> Config:
    """Check every key of a config, and make its parts agree, in place; returns the config.

    Raises:
        ConfigError: a key or component is unknown, or parts contradict each other.
    """
    with bare_config(config):
        check_sections(config)
        drop_helpers(config)
        for key in config:
            name_types(config[key])
        check_component_values(config)
        check_runtime_values(config)
        apply_loops(config)
        apply_loaders(config)
        compile_options(config.get('compile'))
        apply_vis_backends(config)
        apply_data(config)
        apply_pixels(config)
        complete_views(config)
        check_loss(config.get('model') or {})
        check_metrics(config)
        check_hooks(config)
        check_config(config)
        check_optimiser(config)
        check_schedules(config)
        apply_view(config)
    return config
