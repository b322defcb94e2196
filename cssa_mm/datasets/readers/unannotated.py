"""Images that nobody annotated, and classes that nothing shows: what the readers of objects say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.names import plain_name

LABEL = {'unlabelled': -1, 'negative': 0}
WORDS = {'unlabelled': 'unlabelled', 'negative': 'labelled as none of the classes', 'drop': 'left out'}


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


def note_unseen(understanding: Understanding, declared: Iterable[str], shown: Sequence[str]) -> None:
    """State which declared classes no image shows: they are none, unless class_names or classes.txt names them."""
    known = {plain_name(name) for name in shown}
    for name in declared:
        if plain_name(name) not in known:
            understanding.left[name] = 'no image shows it (class_names or classes.txt with this name keeps it)'
    understanding.taken = list(shown)


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


def ask_about_undeclared(understanding: Understanding, wanted: Iterable[str], missing: Sequence[str]) -> None:
    """Ask where classes are wanted that the file doesn't declare: nobody looked for them in its images."""
    if missing:
        understanding.questions.append(
            Question(
                'undeclared_classes',
                f'{understanding.source}: {len(missing)} of the {len(list(wanted))} classes are not among those that '
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
