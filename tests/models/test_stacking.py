"""Oracle: a penalised logistic regression by scipy's optimiser, one cell after the other."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit

from cssa_mm.models import stacking
from cssa_mm.models.stacking import stack

C = 4
PLANTED = [1.5, 0.8, 0.4]
OWN = [1.0, 0.0, 0.0]


def draw(num_images: int, seed: int, planted=PLANTED, num_classes: int = C) -> tuple[torch.Tensor, torch.Tensor]:
    """Readings (n, C, J) that are noise, and labels (n, C) that follow them by the planted weights."""
    generator = torch.Generator().manual_seed(seed)
    readings = torch.randn(num_images, num_classes, len(planted), generator=generator)
    logits = readings @ torch.tensor(planted) - torch.linspace(0.5, 2, num_classes)
    return readings, (torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits)).long()


def reference(readings: torch.Tensor, labels: torch.Tensor, rows: list[int] | None = None) -> np.ndarray:
    """Weights that no limit holds at 0, of the images in `rows`; rates of all."""
    deviations = np.array([3.0, 0.3, 0.3][: readings.shape[2]])
    cells, width = [], readings.shape[2] + 1 + labels.shape[1]
    for c in range(labels.shape[1]):
        positives = int((labels[:, c] == 1).sum())
        if positives < 2:
            continue
        rate = (positives + 0.5) / (int((labels[:, c] >= 0).sum()) + 1)
        for i in range(len(labels)) if rows is None else rows:
            if labels[i, c] >= 0:
                cell = np.zeros(width)
                cell[: readings.shape[2]] = readings[i, c].double().numpy() * deviations
                cell[readings.shape[2]] = 10 * np.log(rate / (1 - rate))
                cell[readings.shape[2] + 1 + c] = 1
                cells.append((cell, 1.0 if labels[i, c] == 1 else -1.0))
    inputs, sign = np.array([cell for cell, _ in cells]), np.array([value for _, value in cells])

    def loss(found):
        # The last number is an intercept, which is free.
        margins = sign * (inputs @ found[:-1] + found[-1])
        slopes = -sign * expit(-margins)
        gradient = np.append(found[:-1] + inputs.T @ slopes, slopes.sum())
        return np.logaddexp(0, -margins).sum() + 0.5 * (found[:-1] ** 2).sum(), gradient

    result = minimize(loss, np.zeros(width + 1), jac=True, method='BFGS', options=dict(gtol=1e-6, maxiter=5000))
    return result.x[: readings.shape[2]] * deviations


# -- the fit --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize('num_images', [12, 40, 150])
def test_weights_are_those_of_a_penalised_logistic_regression(num_images):
    readings, labels = draw(num_images, seed=num_images)
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(7)) < 0.2] = -1
    expected = reference(readings, labels)
    assert (expected > 0.01).all()
    np.testing.assert_allclose(stack(readings, labels), expected, atol=5e-3)


@pytest.mark.parametrize('is_checked', [False, True])
def test_many_labels_recover_planted_weights(is_checked):
    readings, labels = draw(3000, seed=0)
    np.testing.assert_allclose(stack(readings, labels, is_checked), PLANTED, atol=0.12)


def test_few_labels_leave_all_but_the_first_reading_near_nothing():
    """The first one has what it deserves from the beginning."""
    found = torch.stack([stack(*draw(5, seed)) for seed in range(20)])
    assert 1.0 < float(found[:, 0].mean()) < 4
    assert float(found[:, 1:].max()) < 0.35
    many = stack(*draw(500, 0))
    assert float(many[1]) > 2 * float(found[:, 1].mean())


def test_the_first_reading_has_a_weight_even_if_it_speaks_against_the_labels():
    readings, labels = draw(200, 0, planted=[-1.0, 1.0, 0.0])
    found = stack(readings, labels)
    assert float(found[0]) == pytest.approx(0.1)
    assert float(found[1]) > 0.3


# -- readings that bring nothing ------------------------------------------------------------------------------------


def test_a_reading_with_a_negative_weight_is_left_out_as_if_it_were_not_there():
    readings, labels = draw(300, 1, planted=[1.5, -0.8, 0.4])
    found = stack(readings, labels)
    assert float(found[1]) == 0
    torch.testing.assert_close(found[[0, 2]], stack(readings[..., [0, 2]], labels), rtol=1e-3, atol=1e-3)
    assert float(reference(readings, labels)[1]) < -0.5


def test_noise_that_does_not_help_held_out_images_gets_no_weight_at_all():
    """Noise helps half of the time on the images that its weight is fitted to."""
    draws = [draw(25, seed, planted=[1.5, 0.0, 0.0]) for seed in range(12)]
    plain = torch.stack([stack(readings, labels) for readings, labels in draws])
    checked = torch.stack([stack(readings, labels, is_checked=True) for readings, labels in draws])
    kept, still_kept = ((found[:, 1:] > 0).any(1) for found in (plain, checked))
    assert int(kept.sum()) >= 6
    assert int(still_kept.sum()) <= int(kept.sum()) // 2
    assert not (still_kept & ~kept).any()
    # What is left is a fit to the first reading alone.
    alone = torch.cat([stack(readings[..., :1], labels) for readings, labels in draws])
    torch.testing.assert_close(checked[~still_kept, 0], alone[~still_kept])


# -- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('value', [0, 1, -1])
@pytest.mark.parametrize('num_images', [0, 1, 9])
@pytest.mark.parametrize('is_checked', [False, True])
def test_labels_that_are_all_alike_say_nothing(value, num_images, is_checked):
    readings, _ = draw(num_images, 0)
    assert stack(readings, torch.full((num_images, C), value), is_checked).tolist() == OWN


def test_the_readings_of_unknown_cells_do_not_count():
    readings, labels = draw(40, 0)
    labels[::3, 1] = labels[5] = -1
    other = torch.where((labels == -1)[..., None], 100.0, readings)
    assert torch.equal(stack(other, labels, True), stack(readings, labels, True))
    labels[5] = 0
    assert not torch.equal(stack(other, labels), stack(readings, labels))


def test_a_class_with_one_positive_does_not_count_unless_no_class_has_two():
    readings, labels = draw(30, 0)
    labels[:, 2] = 0
    labels[4, 2] = 1
    other = readings.clone()
    other[:, 2] = 50 * torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(stack(other, labels, True), stack(readings, labels, True))
    single = torch.zeros_like(labels)
    single[[1, 5, 9, 20], range(4)] = 1
    assert not torch.equal(stack(other, single), stack(readings, single))
    assert stack(readings, single).tolist() != OWN


def test_one_labelled_image_and_two_give_finite_weights():
    for num_images in (1, 2, 3):
        readings, _ = draw(num_images, 0)
        labels = torch.tensor([[1, 0, 0, 1]] * num_images)
        found = stack(readings, labels, is_checked=True)
        assert torch.isfinite(found).all()
        assert (found >= 0).all()


# -- how it is computed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize('is_checked', [False, True])
def test_nothing_is_left_to_chance(is_checked):
    readings, labels = draw(60, 2)
    before = stack(readings, labels, is_checked)
    np.random.seed(5)
    torch.manual_seed(5)
    state = np.random.get_state()[1].copy()
    assert torch.equal(stack(readings, labels, is_checked), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert before.dtype == readings.dtype


def test_of_many_images_an_even_share_is_read_with_the_rates_of_all(monkeypatch):
    readings, labels = draw(90, 3)
    labels[10, 2] = -1
    rows = list(range(0, 90, 3))
    monkeypatch.setattr(stacking, 'MOST_CELLS', 30 * C + 1)
    found = stack(readings, labels)
    np.testing.assert_allclose(found, reference(readings, labels, rows), atol=5e-3)
    other = readings.clone()
    other[1::3] = 9.0
    assert torch.equal(stack(other, labels), found)
