from types import SimpleNamespace

import pytest
from mmpretrain.models import ClsDataPreprocessor

from cssa_mm.engine.guard_hook import check_semi_supervision
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models import CSSADataPreprocessor
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook


@pytest.fixture
def train(tiny_config):
    """train(**overrides) -> the runner after training."""

    def run(**overrides) -> CSSARunner:
        runner = CSSARunner.from_cfg(tiny_config(**overrides))
        runner.train()
        return runner

    return run


def test_test_images_are_refused_in_training(train):
    same = {'val_dataloader.dataset.ann_file': 'train.json', 'val_dataloader.dataset.img_dir': 'train'}
    with pytest.raises(DataError, match='^val_dataloader.dataset: found 40 images that are in the training set, too'):
        train(**same)


def test_a_validation_set_with_other_classes_or_another_order_is_refused(train, tiny_config):
    names = tiny_config().model.class_names[::-1]
    with pytest.raises(DataError, match='^val_dataloader.dataset: found the classes .*, expected those of the model'):
        train(**{'val_dataloader.dataset.class_names': names})


def test_a_test_set_with_other_classes_or_another_order_is_refused(tiny_config):
    names = tiny_config().model.class_names[::-1]
    runner = CSSARunner.from_cfg(tiny_config(**{'test_dataloader.dataset.class_names': names}))
    with pytest.raises(DataError, match='^test_dataloader.dataset: found the classes .*, expected those of the model'):
        runner.test()


def test_unknown_keys_are_refused_in_programs_that_do_not_check_them(tiny_config):
    runner = CSSARunner.from_cfg(tiny_config())
    runner.cfg.model.unlabelled_wieght = 1.0
    with pytest.raises(ConfigError, match="Did you mean 'unlabelled_weight'"):
        runner.train()


def test_a_learning_rate_that_no_parameter_gets_is_refused(train):
    with pytest.raises(ConfigError) as error:
        train(**{'optim_wrapper.paramwise_cfg.custom_keys': {'contxt_head': dict(lr_mult=2.0)}})
    assert str(error.value) == (
        "optim_wrapper.paramwise_cfg.custom_keys: found 'contxt_head', which matches no parameter, expected a part of "
        "the name of one. Did you mean 'context_head'?"
    )


@pytest.mark.parametrize('name', ['forward', 'training'])
def test_a_learning_rate_of_what_is_no_part_of_the_model_is_refused(train, name):
    with pytest.raises(ConfigError, match=f"found '{name}', which matches no parameter"):
        train(**{'optim_wrapper.paramwise_cfg.custom_keys': {name: dict(lr_mult=2.0)}})


def test_a_learning_rate_of_a_part_of_a_part_that_is_switched_off_is_no_mistake(train):
    runner = train(**{'model.head.shared_prompts': True})
    assert 'semantic_prompts' in runner.cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert not any('semantic_prompts' in name for name, _ in runner.model.named_parameters())


def test_a_learning_rate_of_a_part_that_is_switched_off_is_no_mistake(train):
    runner = train(**{'model.context_head': None})
    assert 'context_head' in runner.cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert not any(name.startswith('context_head') for name, _ in runner.model.named_parameters())


@pytest.mark.parametrize('options', [{}, {'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1}])
def test_a_run_without_the_hook_of_the_algorithm_is_refused_before_the_first_step(train, options):
    """On labels alone, too: the hook also moves the teacher, whose scores are the result."""
    with pytest.raises(ConfigError) as error:
        train(**{'default_hooks.pseudo_labels': None}, **options)
    assert str(error.value) == (
        'default_hooks.pseudo_labels: found no PseudoLabelHook, expected one, which also sets the bias and moves the '
        'teacher; restore it, and set train_cfg.semi_epochs=0 to train on labels alone'
    )


def test_a_preprocessor_that_drops_the_targets_is_refused(train):
    with pytest.raises(ConfigError) as error:
        train(**{'model.data_preprocessor': dict(type='ClsDataPreprocessor')})
    assert str(error.value) == (
        'model.data_preprocessor: found a ClsDataPreprocessor, which drops the targets of a batch, expected a '
        'CSSADataPreprocessor; leave its type out'
    )


@pytest.mark.parametrize('kind', [CSSADataPreprocessor, type('Other', (CSSADataPreprocessor,), {})])
def test_our_preprocessor_and_its_children_pass(kind):
    runner = SimpleNamespace(
        train_loop=SimpleNamespace(semi_epochs=2),
        hooks=[PseudoLabelHook()],
        model=SimpleNamespace(data_preprocessor=kind()),
    )
    check_semi_supervision(runner)
    runner.model.data_preprocessor = ClsDataPreprocessor()
    with pytest.raises(ConfigError, match='found a ClsDataPreprocessor'):
        check_semi_supervision(runner)
