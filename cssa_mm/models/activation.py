"""The activation of a tower: GELU, or QuickGELU as OpenAI trained its CLIPs.

Both kinds of weights have the same names and shapes: the wrong one makes every feature wrong without an error. So it is
known (from open_clip's table of tags, from the JSON of the tower, from the weights file) or asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import open_clip

from cssa_mm.errors import ConfigError

ACTIVATIONS = ('gelu', 'quickgelu')
QUICK, PLAIN = '-quickgelu', '-gelu'
WORDS = {True: 'QuickGELU', False: 'GELU'}


def split_suffix(name: str, known: Mapping[str, Any]) -> tuple[str, str | None]:
    """A name that a JSON defines, and the activation that the given name asks for by its end.

    'ViT-B-32-gelu' is 'ViT-B-32' with plain GELU, said aloud. A name with a JSON of its own, such as
    'ViT-B-32-quickgelu', is left as it is.

    Args:
        name: name of a tower.
        known: name -> model config of all towers that there are.
    """
    for suffix in (QUICK, PLAIN):
        base = name.removesuffix(suffix)
        if base != name and name not in known and base in known:
            return base, suffix[1:]
    return name, None


def twin_of(name: str, known: Mapping[str, Any]) -> str | None:
    """The tower that differs from `name` in its activation alone, if there is one."""
    twin = name.removesuffix(QUICK) if name.endswith(QUICK) else f'{name}{QUICK}'
    return twin if twin in known else None


def of_config(model_config: Mapping[str, Any]) -> str:
    """The activation that a model config has: 'gelu' or 'quickgelu'."""
    return 'quickgelu' if model_config.get('quick_gelu') else 'gelu'


def of_tag(name: str, tag: str) -> str | None:
    """The activation that a tag of open_clip was trained with, by open_clip's own table; None without such a tag."""
    entry = open_clip.get_pretrained_cfg(name, tag)
    return of_config(entry) if entry else None


def check_tag(name: str, tag: str, suffix: str | None, known: Mapping[str, Any]) -> None:
    """Refuse a tag that was trained with another activation than the tower of this name has.

    Args:
        name: name of a tower, without a suffix that only says the activation.
        tag: the tag, of this name or of its twin.
        suffix: activation that the name asked for by its end.
        known: name -> model config.

    Raises:
        ConfigError: the activations differ, or the tag belongs to the twin.
    """
    twin = twin_of(name, known)
    trained = of_tag(name, tag)
    if trained is None:
        other = twin and of_tag(twin, tag)
        if other:
            raise ConfigError(
                f"backbone.model_name: found '{name}' with the weights '{tag}', which are those of '{twin}' "
                f"(trained with {WORDS[other == 'quickgelu']}): expected '{twin}'"
            )
        return
    if trained == (suffix or of_config(known[name])):
        return
    found = f'{name}-{suffix}' if suffix else name
    if suffix:
        expected = f"'{name}'" if trained == of_config(known[name]) else f"'{twin}'"
    elif twin:
        expected = f"'{twin}'"
    else:  # open_clip contradicts itself
        expected = (
            f"backbone.activation='{trained}', or '{of_config(known[name])}' as the model config of open_clip says"
        )
    raise ConfigError(
        f"backbone.model_name: found '{found}' with the weights '{tag}', which were trained with "
        f'{WORDS[trained == "quickgelu"]}: expected {expected} (without it the features are silently wrong)'
    )


def check_file(name: str, path: str, recorded: str | None, suffix: str | None, known: Mapping[str, Any]) -> None:
    """Ask for the activation of a weights file where the name leaves it open.

    Args:
        name: name of a tower, without a suffix that only says the activation.
        path: the weights file.
        recorded: the activation that the file itself records.
        suffix: activation that the name asked for by its end.
        known: name -> model config of the towers that the name is one of: those of the user's folder, or open_clip's.

    Raises:
        ConfigError: the file records another activation, or there are two towers that it could belong to.
    """
    twin = twin_of(name, known)
    if recorded is not None:
        if recorded != (suffix or of_config(known[name])):
            found = f'{name}-{suffix}' if suffix else name
            right = name if recorded == of_config(known[name]) else twin or f'{name}-{recorded}'
            raise ConfigError(
                f"backbone.model_name: found '{found}' with {path}, which was trained with "
                f"{WORDS[recorded == 'quickgelu']}: expected '{right}' (without it the features are silently wrong)"
            )
    elif twin and not suffix and not name.endswith(QUICK):
        raise ConfigError(
            f"backbone.model_name: found '{name}' with the file {path}, which does not tell its activation: expected "
            f"'{twin}' (as OpenAI, MetaCLIP and DFN train) or '{name}{PLAIN}' (as LAION-2B and DataComp do); with the "
            'wrong one the features are silently wrong'
        )
