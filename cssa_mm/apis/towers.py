"""Which towers can be had: their size, cost and licence, and whether they work here. Nothing is downloaded."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.models import activation as activations
from cssa_mm.models.tower_weights import convert_torchscript
from cssa_mm.models.towers.families import family_of, is_usable, needs
from cssa_mm.models.towers.sizes import TowerSize, image_tower, size_of
from cssa_mm.models.towers.support import has_transformers, image_refusal, text_refusal

# Good for two cores: small, trained on hundreds of millions of pairs or more, and with 49 positions or more.
SUGGESTED = (
    'MobileCLIP-S1:datacompdr',
    'ViT-B-32:laion2b_s34b_b79k',
    'ViT-B-32-quickgelu:openai',
    'RN50-quickgelu:openai',
)
# By the beginning of the tag, or of the name before a colon; the first that fits. As model pages and repositories say.
LICENCES = {
    'MobileCLIP:': "Apple's own", 'PE-Core:': 'unknown', 'nllb:': 'unknown', 'ViTamin:': 'unknown', 'openai': 'MIT',
    'laion': 'MIT', 'metaclip': 'CC-BY-NC 4.0', 'webli': 'Apache 2.0',
}  # fmt: skip
MEASURED_AT_MOST = 5
MEASURED_GMACS = 8.0
SHARE = 0.4  # of the speed of a matrix product that a tower reaches, roughly
LEGEND = (
    'ms: one image through the image tower on this machine, {threads}; ~ is an estimate from its multiply-adds, wrong',
    '    by half at times: --measure measures the smallest ones.',
    'MB: weights in float32; files are often half of that. licence: of the weights, as far as we know: see their page.',
    '*: a good start on two cores. Take one: cssa train CONFIG --tower NAME:TAG. docs/towers.md tells what works.',
)
COLUMNS = ('', 'tower', 'MB', 'image', 'ms', 'licence', 'works here')


@dataclass(frozen=True)
class TowerEntry:
    """A tower that open_clip can download.

    Attributes:
        tower: `NAME:TAG`, as `--tower` takes it.
        family: its family.
        works: whether it works here.
        remark: why it does not work, or what it needs.
        megabytes: size of the weights in float32; the file is often half of it.
        side: side of its images, in pixels.
        gmacs: billions of multiply-adds for one image.
        milliseconds: time for one image on this machine.
        is_measured: whether the time was measured; else it is an estimate.
        licence: licence of the weights, or 'unknown'.
        is_suggested: whether it is a good start on two cores.
    """

    tower: str
    family: str
    works: bool
    remark: str
    megabytes: float
    side: int
    gmacs: float
    milliseconds: float
    is_measured: bool
    licence: str
    is_suggested: bool


@dataclass(frozen=True)
class TowerList:
    """Towers, the quickest first, those that don't work last.

    Attributes:
        entries: the towers.
        threads: threads that the times are for.
    """

    entries: tuple[TowerEntry, ...]
    threads: int

    def text(self) -> str:
        """An aligned table, and how to read it."""
        rows: list[Sequence[str]] = [COLUMNS]
        for entry in self.entries:
            mark = '*' if entry.is_suggested else ''
            time_of = f'{entry.milliseconds:.0f}' if entry.is_measured else f'~{entry.milliseconds:.0f}'
            works = ('yes' if entry.works else 'no') + (f', {entry.remark}' if entry.remark else '')
            cells = [f'{entry.megabytes:.0f}', str(entry.side), time_of, entry.licence]
            rows.append([mark, entry.tower, *cells, works])
        # The last column is words: flush left, outside of the table.
        table = aligned([[f'{row[0] or " "} {row[1]}', *row[2:6]] for row in rows]).splitlines()
        lines = [f'{line}  {row[6]}' for line, row in zip(table, rows, strict=True)]
        threads = f'{self.threads} thread' + ('s' if self.threads > 1 else '')
        return '\n'.join([*lines, '', *(line.format(threads=threads) for line in LEGEND)])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return dict(threads=self.threads, towers=[asdict(entry) for entry in self.entries])


def towers(*, pattern: str | None = None, measure: bool = False) -> TowerList:
    """The towers that open_clip can download, with what is known of them; nothing is downloaded.

    Args:
        pattern: part of `NAME:TAG` or else of the family or licence; upper and lower case are alike.
        measure: measure the smallest of them, with random weights, which takes seconds each.

    Raises:
        ConfigError: the pattern fits no tower.

    Examples:
        >>> from cssa_mm.apis.towers import towers
        >>> towers(pattern='ViT-B-32:laion2b_s34b').entries[0].works
        True
    """
    rate = _gmacs_per_millisecond()
    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    pairs = [(name, tag) for name, tag in open_clip.list_pretrained() if activations_agree(name, tag, configs[name])]
    entries = [_entry(name, tag, configs[name], rate) for name, tag in pairs]
    if pattern:
        wanted = pattern.lower()
        of_name = [entry for entry in entries if wanted in entry.tower.lower()]
        entries = of_name or [e for e in entries if wanted in e.family.lower() or wanted in e.licence.lower()]
        if not entries:
            raise ConfigError(
                f"cssa towers: found no tower with '{pattern}', expected part of a name, tag, family or licence."
                f'{nearest(pattern, configs)}'
            )
    entries.sort(key=lambda entry: (not entry.works, entry.gmacs, entry.tower))
    if measure:
        entries = _measured(entries, configs)
    return TowerList(tuple(entries), torch.get_num_threads())


def convert_tower(path: str | os.PathLike, *, out: str | os.PathLike) -> str:
    """Write the weights of a TorchScript archive, whose code is opened, as .safetensors; returns what to do with them.

    Raises:
        CheckpointError: the file is missing, broken or no TorchScript archive, or `out` does not end in .safetensors.
    """
    activation = convert_torchscript(path, out=out)
    suffix = '-quickgelu' if activation == 'quickgelu' else ''
    told = {'quickgelu': 'trained with QuickGELU', 'gelu': 'trained with GELU'}.get(
        activation or '', 'of unknown activation'
    )
    return f'{out}: the weights of {Path(path).name}, {told}; use them: --tower NAME{suffix}:{out}'


def activations_agree(name: str, tag: str, model_config: Mapping[str, Any]) -> bool:
    """Whether a tower of this name has the activation that the tag was trained with."""
    return activations.of_tag(name, tag) == activations.of_config(model_config)


def _entry(name: str, tag: str, config: Mapping[str, Any], rate: float) -> TowerEntry:
    size: TowerSize = size_of(name, config)
    remark = image_refusal(config) or text_refusal(config) or ''
    works = is_usable(config)
    if needs(name, config) and not has_transformers():
        works, remark = False, "needs pip install 'cssa_mm[siglip]'"
    tower = f'{name}:{tag}'
    return TowerEntry(
        tower=tower,
        family=family_of(name, config).title,
        works=works,
        remark=remark,
        megabytes=size.megabytes,
        side=size.side,
        gmacs=size.gmacs,
        milliseconds=size.gmacs / rate,
        is_measured=False,
        licence=_licence(name, tag),
        is_suggested=tower in SUGGESTED,
    )


def _licence(name: str, tag: str) -> str:
    for start, licence in LICENCES.items():
        if (name if start.endswith(':') else tag).startswith(start.rstrip(':')):
            return licence
    return 'unknown'


def _gmacs_per_millisecond() -> float:
    """What this machine computes, from a matrix product that takes a few hundredths of a second."""
    x, weight = torch.randn(512, 768), torch.randn(768, 3072)
    x @ weight
    times = []
    for _ in range(20):
        start = time.perf_counter()
        x @ weight
        times.append(time.perf_counter() - start)
    return SHARE * 512 * 768 * 3072 / 1e9 / (1000 * min(times))


def _measured(entries: Sequence[TowerEntry], configs: Mapping[str, Any]) -> list[TowerEntry]:
    """The entries with measured times of the smallest ones that work; all towers of a name take the same time."""
    times: dict[str, float] = {}
    for entry in entries:
        name = entry.tower.split(':')[0]
        if entry.works and entry.gmacs <= MEASURED_GMACS and len(times) < MEASURED_AT_MOST:
            times.setdefault(name, 0.0) or times.update({name: _milliseconds(configs[name], entry.side)})
    return [
        replace(entry, milliseconds=times[name], is_measured=True)
        if (name := entry.tower.split(':')[0]) in times
        else entry
        for entry in entries
    ]


@torch.inference_mode()
def _milliseconds(config: Mapping[str, Any], side: int) -> float:
    visual, images, times = image_tower(config), torch.randn(1, 3, side, side), []
    for _ in range(4):
        start = time.perf_counter()
        visual(images)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
