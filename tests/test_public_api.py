"""The public API: typed, documented, with examples that run."""

import dataclasses
import doctest
import inspect

import pytest

import cssa_mm
from cssa_mm.apis import conversion

PUBLIC = {name: getattr(cssa_mm, name) for name in cssa_mm.__all__}
VALUES = {name: thing for name, thing in PUBLIC.items() if dataclasses.is_dataclass(thing)}
CALLED = {name: thing for name, thing in PUBLIC.items() if name not in VALUES} | {
    'convert_checkpoint': conversion.convert_checkpoint
}
# What may stand without its keyword: the one thing that a call is about.
POSITIONAL = dict(
    load_config=['config'],
    load_model=['checkpoint'],
    Predictor=['model'],
    convert_checkpoint=['checkpoint'],
    CSSAInferencer=['model', 'pretrained', 'device', 'classes', 'kwargs'],  # as mmpretrain's
)


def parameters_of(thing) -> list[inspect.Parameter]:
    return list(inspect.signature(thing).parameters.values())


def section(thing, title: str) -> str:
    """The lines below a title of the docstring, up to the next one."""
    _, _, rest = inspect.getdoc(thing).partition(f'\n{title}:\n')
    lines = rest.splitlines()
    end = next((n for n, line in enumerate(lines) if line and not line.startswith(' ')), len(lines))
    return '\n'.join(lines[:end])


def test_the_public_names_are_sorted_and_there():
    assert cssa_mm.__all__ == sorted(cssa_mm.__all__)
    assert set(PUBLIC) == {
        'CSSAInferencer', 'Prediction', 'PredictionRun', 'Predictor', 'TrainingResult', 'load_config', 'load_model',
        'predict', 'test', 'train', 'zero_shot',
    }  # fmt: skip


@pytest.mark.parametrize('name', CALLED)
def test_arguments_are_typed_documented_and_named_in_the_call(name):
    documented = section(CALLED[name], 'Args')
    annotations = (
        CALLED[name].__init__.__annotations__ if inspect.isclass(CALLED[name]) else CALLED[name].__annotations__
    )
    for parameter in parameters_of(CALLED[name]):
        assert f'    {parameter.name}: ' in documented
        assert parameter.name in annotations
        if parameter.name not in POSITIONAL.get(name, ()):
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    listed = [line.split(':')[0].strip() for line in documented.splitlines() if line[:4].isspace() and line[4] != ' ']
    assert listed == [parameter.name for parameter in parameters_of(CALLED[name])]


@pytest.mark.parametrize('name', CALLED)
def test_whatever_is_called_says_what_it_raises_and_shows_an_example(name):
    raised = section(CALLED[name], 'Raises')
    assert raised
    for line in raised.splitlines():
        if line[4] != ' ':
            assert line.split(':')[0].strip() in vars(cssa_mm.errors)
    assert '>>> import cssa_mm' in section(CALLED[name], 'Examples')


@pytest.mark.parametrize('name', VALUES)
def test_what_is_returned_documents_each_of_its_fields(name):
    documented = section(VALUES[name], 'Attributes')
    assert VALUES[name].__dataclass_params__.frozen
    for field in dataclasses.fields(VALUES[name]):
        assert f'    {field.name}: ' in documented


@pytest.mark.parametrize('name', CALLED)
def test_its_examples_run(name):
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    examples = [example for test in finder.find(CALLED[name], name, globs={}) for example in test.examples]
    assert examples
    for test in finder.find(CALLED[name], name, globs={}):
        assert runner.run(test).failed == 0


@pytest.mark.parametrize('name', ['load_config', 'zero_shot', 'Predictor', 'CSSAInferencer'])
def test_examples_that_need_no_training_are_not_skipped(name):
    assert '+SKIP' not in inspect.getdoc(CALLED[name])
