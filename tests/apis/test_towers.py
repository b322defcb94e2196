"""The list of towers, and docs/towers.md."""

import json
from pathlib import Path

import open_clip
import pytest
import torch

from cssa_mm.apis import towers as module
from cssa_mm.apis.towers import SUGGESTED, towers
from cssa_mm.apis.towers_page import families_table
from cssa_mm.cli.main import main
from cssa_mm.errors import ConfigError
from cssa_mm.models.tower_plan import check_supported, plan_tower
from cssa_mm.models.tower_spec import resolve_tower
from cssa_mm.models.towers.sizes import count, size_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def everything():
    return towers()


def test_the_page_of_towers_is_up_to_date(capsys):
    assert main(['towers', '--families']) == 0
    assert capsys.readouterr().out == families_table() == (ROOT / 'docs' / 'towers.md').read_text('utf-8')


def test_every_tower_that_works_is_taken_by_its_name_and_the_others_are_refused(everything):
    for entry in everything.entries:
        name, tag = entry.tower.split(':')
        if entry.works:
            plan = plan_tower(**resolve_tower(entry.tower))
            assert (plan.name, plan.tag) == (name, tag)
        else:
            with pytest.raises(ConfigError) as error:
                check_supported(name, open_clip.get_model_config(name))
            assert entry.remark.removeprefix('needs ') in str(error.value)


def test_the_quickest_come_first_and_those_that_do_not_work_last(everything):
    entries = everything.entries
    order = [(not entry.works, entry.gmacs) for entry in entries]
    assert order == sorted(order)
    assert len(entries) > 100
    assert not any(entry.is_measured for entry in entries)


def test_what_is_suggested_works_and_is_small(everything):
    suggested = [entry for entry in everything.entries if entry.is_suggested]
    assert {entry.tower for entry in suggested} == set(SUGGESTED)
    assert all(entry.works and entry.gmacs < 10 for entry in suggested)


@pytest.mark.parametrize('name', ['ViT-B-32', 'RN50', 'convnext_tiny', 'roberta-ViT-B-32', 'ViT-B-16-SigLIP'])
def test_the_table_of_sizes_is_what_is_counted(name):
    config = open_clip.get_model_config(name)
    assert size_of(name, config) == count(config)


def test_a_tower_that_the_table_does_not_know_is_counted(clip_dir):
    """Oracle: the parameters of the model that open_clip builds."""
    open_clip.add_model_config(clip_dir)
    config = open_clip.get_model_config('tiny-vit')
    model = open_clip.create_model('tiny-vit')
    found = size_of('tiny-vit', config)
    whole = sum(parameter.numel() for parameter in model.parameters()) - 1  # logit_scale
    assert (found.image + found.text) * 1e6 == pytest.approx(whole, abs=1e5)
    assert found.side == 64


@pytest.mark.parametrize(
    ('pattern', 'first'),
    [('vit-b-32:LAION2B_S34', 'ViT-B-32:laion2b_s34b_b79k'), ('metaclip 2', None), ('apache', None)],
)
def test_a_pattern_leaves_what_it_fits(pattern, first):
    found = towers(pattern=pattern).entries
    assert found
    for entry in found:
        assert pattern.lower() in f'{entry.tower} {entry.family} {entry.licence}'.lower()
    assert first is None or [entry.tower for entry in found] == [first]


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(ConfigError, match="found no tower with 'ViT-B-31'.*Did you mean"):
        towers(pattern='ViT-B-31')


def test_only_the_smallest_are_measured_once_a_name(monkeypatch):
    built = []
    monkeypatch.setattr(module, 'image_tower', lambda config: built.append(config) or torch.nn.Identity())
    entries = towers(pattern='ViT-B', measure=True).entries
    measured = {entry.tower.split(':')[0] for entry in entries if entry.is_measured}
    assert len(built) == len(measured) <= module.MEASURED_AT_MOST
    assert 'ViT-B-32' in measured
    assert not any(entry.is_measured for entry in entries if entry.gmacs > module.MEASURED_GMACS or not entry.works)


def test_the_command_prints_a_table_and_writes_it(capsys, tmp_path):
    assert main(['towers', 'ViT-B-32-quickgelu', '--out', str(tmp_path / 'towers.json')]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if 'quickgelu:openai' in line]
    assert line.split()[:4] == ['*', 'ViT-B-32-quickgelu:openai', '605', '224']
    assert line.split()[4].startswith('~')
    assert 'is an estimate' in text
    found = json.loads((tmp_path / 'towers.json').read_text())['towers']
    assert {tower['tower'].split(':')[0] for tower in found} == {'ViT-B-32-quickgelu'}


def test_the_command_converts_an_archive(capsys, tmp_path):
    archive = tmp_path / 'jit.pt'
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.GELU())), archive)
    assert main(['towers', '--convert', str(archive)]) == 2
    assert '--convert: found no --out' in capsys.readouterr().err
    out = tmp_path / 'plain.safetensors'
    assert main(['towers', '--convert', str(archive), '--out', str(out)]) == 0
    assert f'{out}: the weights of jit.pt, trained with GELU; use them: --tower NAME' in capsys.readouterr().out
    assert out.is_file()
