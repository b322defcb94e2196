import copy

import pytest
import torch
from torch import nn

from cssa_mm.models.teacher import ParameterEMA


@pytest.fixture
def student():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    module[2].bias.requires_grad_(False)
    return module


def shift(module, step):
    torch.manual_seed(step)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))


@pytest.mark.smoke
@pytest.mark.parametrize('warm_up', [True, False])
@pytest.mark.parametrize('decay', [0.3, 0.9997])
def test_averages_equal_those_computed_step_by_step(student, warm_up, decay):
    teacher = ParameterEMA(student, decay=decay, warm_up=warm_up)
    expected = [float(v) for v in student[0].weight.detach().double().flatten()]
    for step in range(30):
        shift(student, step)
        teacher.update(student)
        rate = min(decay, (1 + step) / (10 + step)) if warm_up else decay
        own = student[0].weight.detach().flatten().tolist()
        expected = [rate * old + (1 - rate) * new for old, new in zip(expected, own, strict=True)]
    found = teacher.get_buffer('0__weight').flatten().tolist()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert found != pytest.approx(own, abs=1e-2)
    assert int(teacher.steps) == 30


def test_only_trainable_parameters_are_averaged_and_all_in_the_state(student):
    teacher = ParameterEMA(student)
    assert set(teacher.state_dict()) == {'0__weight', '0__bias', '1__weight', '1__bias', '2__weight', 'steps'}
    assert not list(teacher.parameters())


def test_within_the_context_the_module_is_the_teacher_and_afterwards_itself(student):
    teacher = ParameterEMA(student)
    shift(student, 0)
    teacher.update(student)
    own = copy.deepcopy(student.state_dict())
    pointer = student[0].weight.data_ptr()
    with teacher.applied_to(student):
        assert torch.equal(student[0].weight, teacher.get_buffer('0__weight'))
        assert not torch.equal(student[0].weight, own['0.weight'])
        assert torch.equal(student[2].bias, own['2.bias'])
    assert student[0].weight.data_ptr() == pointer
    assert all(torch.equal(value, own[name]) for name, value in student.state_dict().items())


def test_the_student_comes_back_after_an_exception(student):
    teacher = ParameterEMA(student)
    shift(student, 0)
    own = copy.deepcopy(student.state_dict())
    with pytest.raises(ZeroDivisionError), teacher.applied_to(student):
        raise ZeroDivisionError
    assert all(torch.equal(value, own[name]) for name, value in student.state_dict().items())


def test_the_student_s_steps_do_not_move_the_teacher_by_themselves(student):
    teacher = ParameterEMA(student)
    before = copy.deepcopy(teacher.state_dict())
    with teacher.applied_to(student):
        pass
    shift(student, 0)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_reset_starts_again_from_the_student(student):
    teacher = ParameterEMA(student)
    shift(student, 0)
    teacher.update(student)
    shift(student, 1)
    teacher.reset(student)
    fresh = ParameterEMA(student)
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in teacher.state_dict().items())


def test_a_teacher_equals_the_student_until_one_of_them_moves(student):
    teacher = ParameterEMA(student)
    assert teacher.equals(student)
    with torch.no_grad():
        student[0].bias[0] += 1e-3
    assert not teacher.equals(student)


def test_a_restored_teacher_goes_on_where_it_stopped(student):
    teacher = ParameterEMA(student, decay=0.5)
    shift(student, 0)
    teacher.update(student)
    other = ParameterEMA(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1, bias=False)), decay=0.5)
    other.load_state_dict(teacher.state_dict())
    shift(student, 1)
    teacher.update(student)
    other.update(student)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in teacher.state_dict().items())
