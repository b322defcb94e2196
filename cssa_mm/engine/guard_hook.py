"""Checks that need the whole run, before the first step rather than after hours of training."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import nn

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_without_positives
from cssa_mm.engine.config.guard import check_config
from cssa_mm.engine.config.metrics import check_labels
from cssa_mm.engine.config.pixels import check_statistics
from cssa_mm.engine.config.test_time import bare_config
from cssa_mm.engine.monitored import check_monitored
from cssa_mm.engine.pipeline_trial import try_pipelines
from cssa_mm.engine.questions import check_training_data, refuse_untaught, warn_of_questions
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.features.view import view_of
from cssa_mm.models import CSSAClassifier, CSSADataPreprocessor
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model
from cssa_mm.semi.statistics import check_same_classes

# Parts of other backbones, which mmpretrain's schedules name.
OTHER_PARTS = {
    'absolute_pos_embed', 'attention_biases', 'backbone.classifier', 'bn', 'branch_1x1.norm', 'branch_3x3.norm',
    'branch_norm.bias', 'cls_token', 'downsample.1', 'gamma', 'ln', 'mask_token', 'norm', 'pos_embed', 'predictor',
    'q_bias', 'rel_pos_h', 'rel_pos_w', 'relative_position_bias_table', 'v_bias',
}  # fmt: skip


@HOOKS.register_module()
class GuardHook(Hook):
    """Refuses unknown config keys, training without pseudo-labels, and held-out sets that leak or differ in classes."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check the config, also that of mmpretrain's own tools."""
        with bare_config(runner.cfg):
            check_config(runner.cfg)

    def before_train(self, runner: Runner) -> None:
        """Check pseudo-labels and learning rates, the classes of all data sets, and what was read of them."""
        model = bare_model(runner)
        check_semi_supervision(runner)
        check_custom_keys(runner.cfg.optim_wrapper, model)
        check_statistics(model)
        train = runner.train_dataloader.dataset
        held_out = None if runner.val_loop is None else runner.val_dataloader.dataset
        check_classes(model, train, 'train_dataloader.dataset')
        check_classes(model, held_out, 'val_dataloader.dataset')
        view = view_of(runner.cfg)
        try_pipelines(train, view, 'train_dataloader.dataset', is_test=False)
        try_pipelines(held_out, view, 'val_dataloader.dataset', is_test=True)
        check_training_data(train, held_out, runner.cfg, model.class_words)
        refuse_untaught(train, runner.cfg)
        if runner.val_loop is not None:
            check_labels(runner.val_loop.evaluator.metrics, held_out, 'val_evaluator')
        check_monitored(runner)

    def before_test(self, runner: Runner) -> None:
        """Compare the classes of the test set with those of the model, and say what looks wrong about it."""
        dataset = runner.test_dataloader.dataset
        check_classes(bare_model(runner), dataset, 'test_dataloader.dataset')
        if 'view' in runner.cfg:
            try_pipelines(dataset, view_of(runner.cfg), 'test_dataloader.dataset', is_test=True)
        if isinstance(dataset, SemiMultiLabelDataset):
            refuse_without_positives(dataset.hidden_labels, 'test_dataloader.dataset')
        check_labels(runner.test_loop.evaluator.metrics, dataset, 'test_evaluator')
        warn_of_questions(dataset, 'test')


def check_classes(model: CSSAClassifier, dataset: object, where: str) -> None:
    """Check that a data set of ours has the classes of the model in their order: figures would be of other classes.

    Raises:
        DataError: it has not.
    """
    if isinstance(dataset, SemiMultiLabelDataset):
        check_same_classes(model, dataset, where)


def check_semi_supervision(runner: Runner) -> None:
    """Check that pseudo-labels can reach the model.

    Raises:
        ConfigError: there is no hook that makes them and moves the teacher, or the preprocessor drops them.
    """
    if not any(isinstance(hook, PseudoLabelHook) for hook in runner.hooks):
        raise ConfigError(
            'default_hooks.pseudo_labels: found no PseudoLabelHook, expected one, which also sets the bias and moves '
            'the teacher; restore it, and set train_cfg.semi_epochs=0 to train on labels alone'
        )
    preprocessor = bare_model(runner).data_preprocessor
    if not isinstance(preprocessor, CSSADataPreprocessor):
        raise ConfigError(
            f'model.data_preprocessor: found a {type(preprocessor).__name__}, which drops the targets of a batch, '
            'expected a CSSADataPreprocessor; leave its type out'
        )


def check_custom_keys(optim_wrapper: Mapping, model: nn.Module) -> None:
    """Check that each pattern of `paramwise_cfg.custom_keys` matches a part of the model, even if it is switched off.

    What mmpretrain's schedules say of other backbones changes nothing, which is said.

    Raises:
        ConfigError: a pattern matches nothing; the message names the nearest parameter or module.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in (optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}:
        if any(pattern in name for name in names) or _is_part(model, pattern):
            continue
        if pattern.removeprefix('.') in OTHER_PARTS:
            print_log(
                f"optim_wrapper.paramwise_cfg.custom_keys: '{pattern}' is a part of other backbones than this model's, "
                'and changes nothing',
                'current',
            )
        else:
            parts = {'.'.join(name.split('.')[:end]) for name in names for end in range(1, name.count('.') + 2)}
            raise ConfigError(
                f"optim_wrapper.paramwise_cfg.custom_keys: found '{pattern}', which matches no parameter, expected a "
                f'part of the name of one.{nearest(pattern, parts)}'
            )


def _is_part(model: nn.Module, path: str) -> bool:
    """Whether a module of the model has the part, which may be None: `context_head` without a context task."""
    return any(_has_part(module, path) for module in model.modules())


def _has_part(module: object, path: str) -> bool:
    for name in path.split('.'):
        if not hasattr(module, name):
            return False
        module = getattr(module, name)
    return module is None or isinstance(module, nn.Module | nn.Parameter)
