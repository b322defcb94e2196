from collections import Counter

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATA_SAMPLERS, DATASETS

from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.errors import ConfigError
from cssa_mm.semi.sampler import GlobalBatchSampler, SemiSupervisedSampler


@pytest.fixture
def make_sampler(make_dataset):
    """make_sampler(...) -> a sampler of 11 labelled and 50 unlabelled images in global batches of 12."""

    def make(labelled=11, unlabelled=50, batch_size=12, epoch=1, warmup_epochs=1, **options):
        options = dict(labelled_per_batch=4, seed=1, rank=0, world_size=1) | options
        sampler = SemiSupervisedSampler(make_dataset(labelled, unlabelled), **options)
        batches = GlobalBatchSampler(sampler, batch_size)
        sampler.warmup_epochs = warmup_epochs
        sampler.set_epoch(epoch)
        return batches

    return make


def indices(batch) -> list[int]:
    return [key.index for key in batch]


@pytest.mark.smoke
@pytest.mark.parametrize('world_size', [2, 3, 4, 6, 12])
@pytest.mark.parametrize('epoch', [0, 1, 5])
def test_the_shares_of_all_ranks_are_the_batches_of_one_process(make_sampler, world_size, epoch):
    alone = list(make_sampler(epoch=epoch))
    ranks = [list(make_sampler(epoch=epoch, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert all(len(rank) == len(alone) for rank in ranks)
    for step, batch in enumerate(alone):
        shares = [rank[step] for rank in ranks]
        assert {len(share) for share in shares} == {12 // world_size}
        assert sum(shares, []) == batch


def test_every_batch_has_the_same_number_of_labelled_images_first(make_sampler, make_dataset):
    labelled = set(make_dataset(11, 50).labelled_indices.tolist())
    for batch in make_sampler():
        assert [index in labelled for index in indices(batch)] == [True] * 4 + [False] * 8


def test_one_epoch_shows_every_unlabelled_image_once_and_fills_the_last_batch_with_the_first(make_sampler):
    batches = list(make_sampler())
    assert len(batches) == 7  # 50 / 8
    seen = sum((indices(batch)[4:] for batch in batches), [])
    unlabelled = make_sampler().sampler.unlabelled.tolist()
    assert sorted(seen[:50]) == unlabelled
    assert seen[50:] == seen[:6]


def test_labelled_images_are_cycled_evenly_and_in_a_new_order_each_time(make_sampler):
    seen = sum((indices(batch)[:4] for batch in make_sampler()), [])
    counts = Counter(seen)
    assert len(counts) == 11
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sorted(seen[:11]) == sorted(seen[11:22])
    assert seen[:11] != seen[11:22]


def test_warm_up_is_one_pass_over_the_labelled_images(make_sampler):
    batches = make_sampler(labelled=30, epoch=0)
    assert len(batches) == len(list(batches)) == 3
    seen = sum((indices(batch) for batch in batches), [])
    assert sorted(seen[:30]) == batches.sampler.labelled.tolist()
    assert len(seen) == 36
    assert set(seen[30:]) < set(seen[:30])


def test_lengths_are_those_of_the_epoch_on_each_rank(make_sampler):
    for epoch, steps in ((0, 1), (1, 7)):
        batches = make_sampler(epoch=epoch, rank=1, world_size=3)
        assert len(batches) == len(list(batches)) == steps
        assert len(batches.sampler) == len(list(batches.sampler)) == steps * 4


def test_the_seed_and_the_epoch_alone_decide_order_and_augmentation(make_sampler):
    def keys(**options):
        return [list(map(tuple, batch)) for batch in make_sampler(**options)]

    first = keys(epoch=3)
    assert keys(epoch=3) == first
    assert keys(epoch=4) != first
    assert keys(epoch=3, seed=2) != first
    went_through = make_sampler(epoch=1)
    for epoch in (1, 2, 3):
        went_through.sampler.set_epoch(epoch)
        last = [list(map(tuple, batch)) for batch in went_through]
    assert last == first  # a run that is resumed at epoch 3 sees what one without a break sees


def test_without_a_seed_numpy_s_generator_draws_one(make_sampler):
    def seed_after(global_seed: int) -> int:
        np.random.seed(global_seed)
        return make_sampler(seed=None).sampler.seed

    assert seed_after(1) == seed_after(1) != seed_after(2)
    assert make_sampler(seed=0).sampler.seed == 0


def test_augmentation_seeds_differ_between_images_and_epochs(make_sampler):
    seeds = [[key.seed for batch in make_sampler(epoch=epoch) for key in batch] for epoch in (1, 2)]
    assert len(set(seeds[0])) == len(seeds[0])
    assert not set(seeds[0]) & set(seeds[1])
    assert all(isinstance(key, SampleKey) and type(key.index) is int for batch in make_sampler() for key in batch)


@pytest.mark.parametrize(
    ('batch_size', 'world_size', 'sizes'),
    [(64, 6, '60 and 66'), (12, 5, '10 and 15'), (6, 4, '8')],
)
def test_a_batch_that_does_not_divide_over_the_ranks_names_the_nearest_that_do(
    make_sampler, batch_size, world_size, sizes
):
    with pytest.raises(ConfigError) as error:
        make_sampler(batch_size=batch_size, world_size=world_size)
    message = str(error.value)
    assert f'found {batch_size}' in message
    assert f'does not divide over {world_size} processes' in message
    assert message.endswith(sizes)


@pytest.mark.parametrize('labelled_per_batch', [0, 12, 13])
def test_a_batch_needs_both_kinds_of_images(make_sampler, labelled_per_batch):
    with pytest.raises(ConfigError, match=f'labelled_per_batch: found {labelled_per_batch}, expected 1 to 11'):
        make_sampler(labelled_per_batch=labelled_per_batch)


def test_data_without_labelled_or_unlabelled_images_are_refused(make_sampler):
    with pytest.raises(ConfigError, match='found no labelled image'):
        make_sampler(labelled=0)
    with pytest.raises(ConfigError, match='found no unlabelled image.*semi_epochs=0'):
        list(make_sampler(unlabelled=0, epoch=1).sampler)
    assert len(list(make_sampler(unlabelled=0, epoch=0))) == 1


def test_the_batch_sampler_wants_the_semi_supervised_sampler(make_dataset):
    other = DATA_SAMPLERS.build(dict(type='DefaultSampler', dataset=range(10)))
    with pytest.raises(ConfigError, match='found a DefaultSampler, expected a SemiSupervisedSampler'):
        GlobalBatchSampler(other, 4)


def test_the_runner_builds_a_loader_from_the_form_that_the_configs_use(tiny_config):
    config = tiny_config().train_dataloader
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(config, seed=7)
    sampler = loader.batch_sampler.sampler
    assert sampler.seed == 7
    assert (sampler.batch_size, sampler.labelled_per_batch) == (8, 2)
    assert len(loader) == 4  # 24 unlabelled images, 6 a batch
    batches = list(loader)
    assert len(batches) == 4
    assert all(
        [sample.is_labelled for sample in batch['data_samples']] == [True] * 2 + [False] * 6 for batch in batches
    )
    shown = {sample.image_id for batch in batches for sample in batch['data_samples'] if not sample.is_labelled}
    data = DATASETS.build(config.dataset)
    assert shown == {data.image_ids[index] for index in data.unlabelled_indices}
    repeated = [batch['inputs'] for batch in loader]
    assert all(
        np.array_equal(a, b)
        for batch, again in zip(batches, repeated, strict=True)
        for a, b in zip(batch['inputs'], again, strict=True)
    )


@pytest.mark.parametrize(
    ('options', 'key'),
    [(dict(batch_size='abc'), 'batch_size'), (dict(batch_size=12.0), 'batch_size')]
    + [(dict(labelled_per_batch=value), 'sampler.labelled_per_batch') for value in ('4', True)],
)
def test_sizes_are_whole_numbers(make_sampler, options, key):
    with pytest.raises(ConfigError, match=f'^train_dataloader.{key}: found .*, expected a whole number'):
        make_sampler(**options)


# -- several batches a step ----------------------------------------------------------------------------------------


def in_steps(batches, parts):
    found = list(batches)
    assert len(found) == parts * len(batches)
    return [found[start : start + parts] for start in range(0, len(found), parts)]


@pytest.mark.parametrize('epoch', [0, 1, 4])
@pytest.mark.parametrize(('parts', 'world_size'), [(1, 1), (2, 1), (3, 2), (4, 1)])
def test_the_batches_of_a_step_are_one_of_their_size(make_sampler, parts, world_size, epoch):
    """The same images with the same seeds; each batch has its share of labelled ones, on each rank its share."""
    whole = list(make_sampler(batch_size=48, labelled_per_batch=12, epoch=epoch))
    options = dict(batch_size=48 // parts, labelled_per_batch=12 // parts, epoch=epoch, world_size=world_size)
    steps = []
    for rank in range(world_size):
        batches = make_sampler(rank=rank, **options)
        batches.sampler.accumulation = parts
        assert len(batches.sampler) == len(list(batches.sampler))
        steps.append(in_steps(batches, parts))
    for step, expected in enumerate(whole):
        together = [[key for rank in steps for key in rank[step][part]] for part in range(parts)]
        assert sorted(map(tuple, sum(together, []))) == sorted(map(tuple, expected))
        assert {len(batch) for batch in together} == {48 // parts}
        if epoch:
            labelled = {key.index for key in expected[:12]}
            assert all(set(indices(batch)[: 12 // parts]) <= labelled for batch in together)
            assert not any(set(indices(batch)[12 // parts :]) & labelled for batch in together)
    assert {len(rank) for rank in steps} == {len(whole)}


@pytest.mark.parametrize('epoch', [0, 2])
def test_an_epoch_begins_at_any_step_as_if_the_steps_before_had_been_made(make_sampler, epoch):
    sampler = make_sampler(labelled=30, epoch=epoch).sampler
    whole = list(sampler.global_batches())
    for start in range(len(whole) + 1):
        assert list(sampler.global_batches(start)) == whole[start:]
    assert {type(number) for key in whole[0] for number in key} == {int}


@pytest.mark.parametrize(('epoch', 'accumulation'), [(0, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize('start', [0, 1, 2])
def test_the_steps_from_a_start_on_are_those_of_the_whole_epoch(make_sampler, epoch, accumulation, start):
    whole, rest = make_sampler(epoch=epoch), make_sampler(epoch=epoch)
    for batches in (whole, rest):
        batches.sampler.accumulation = accumulation
    rest.sampler.start_step = start
    assert list(rest) == list(whole)[start * accumulation :]
    assert list(rest.sampler) == list(whole.sampler)[start * accumulation * 12 :]
    assert len(rest) == len(whole)  # the log counts the steps of the whole epoch
