"""Images that nobody annotated, and classes that nothing shows: what the readers of objects say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.names import plain_name

LABEL = {'unlabelled': -1, 'negative': 0}
WORDS = {'unlabelled': 'unlabelled', 'negative': 'labelled as none of the classes', 'drop': 'left out'}


def resolve_unannotated(unannotated: str | None, keep_empty: bool | None) -> str | None:
    """The option of a data set of objects, of which ``keep_empty`` is an older name; None where none was given.

    Raises:
        ConfigError: Both are given, or an unknown word.
    """
    if unannotated is not None and keep_empty is not None:
        raise ConfigError(
            f"keep_empty: found {keep_empty} beside unannotated='{unannotated}', expected one of both: keep_empty=True "
            "is unannotated='negative'; remove keep_empty."
        )
    if keep_empty is not None:
        return 'negative' if keep_empty else 'drop'
    if unannotated is not None and unannotated not in WORDS:
        raise ConfigError(
            f"unannotated: found '{unannotated}', expected one of {', '.join(WORDS)}.{nearest(unannotated, WORDS)}"
        )
    return unannotated


def note_unannotated(understanding: Understanding, images: Sequence[str], total: int, option: str, what: str) -> None:
    """State what happens to images without annotation.

    Args:
        understanding: Takes the fact and, of images left out, their names.
        images: Those without.
        total: The number of images.
        option: 'unlabelled', 'negative' or 'drop'.
        what: What they lack, such as 'annotation'.
    """
    if not images:
        return
    others = ' or '.join(repr(word) for word in WORDS if word != option)
    key = f"unannotated='{option}'; or {others}"
    understanding.facts['unannotated'] = f'{len(images)} of {total} images have no {what}: {WORDS[option]} ({key})'
    if option == 'drop':
        understanding.left_out[f"no {what} (unannotated='drop')"] = list(images)


def note_without_files(understanding: Understanding, images: Sequence[str], total: int, option: str) -> None:
    """State that images have no XML file: unlabelled whatever ``unannotated`` says, unless they are dropped."""
    if images:
        understanding.facts['images without XML'] = f'{len(images)} of {total}: {WORDS[option]}'
    if images and option == 'drop':
        understanding.left_out['no XML file'] = list(images)


def note_unseen(understanding: Understanding, declared: Iterable[str], shown: Sequence[str]) -> None:
    """State which declared classes no image shows: they are none, unless class_names or classes.txt names them."""
    known = {plain_name(name) for name in shown}
    for name in declared:
        if plain_name(name) not in known:
            understanding.left[name] = 'no image shows it (class_names or classes.txt with this name keeps it)'


def ask_about_empty_files(understanding: Understanding, empty: int, total: int, kind: str) -> None:
    """State that files without objects say 'none of the classes', and ask where most of them are empty."""
    if not empty:
        return
    understanding.facts['empty files'] = f'{empty} of {total} {kind} hold no object: labelled as none of the classes'
    if 2 * empty > total:
        understanding.questions.append(
            Question(
                'empty_files',
                f'{empty} of {total} {kind} hold no object: images that nobody has annotated yet would teach that they '
                'show none of the classes',
                'remove the files of images that are not annotated, which are unlabelled then',
            )
        )


def ask_about_undeclared(understanding: Understanding, wanted: Sequence[str], declared: Iterable[str]) -> None:
    """Ask where classes are wanted that the file doesn't declare: nobody looked for them in its images."""
    known = {plain_name(name) for name in declared}
    missing = [name for name in wanted if plain_name(name) not in known]
    if missing:
        understanding.questions.append(
            Question(
                'undeclared_classes',
                f'{understanding.source}: {len(missing)} of the {len(wanted)} classes are not among those that '
                f'the file declares ({", ".join(missing[:5])}): its images count as showing none of them',
                'correct class_names, or declare the classes where the images were annotated',
            )
        )


def once(names: Iterable[str]) -> list[str]:
    """Class names in their order, each in its first spelling: 'Cat' and 'cat' are one class."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(plain_name(name), name)
    return list(found.values())
