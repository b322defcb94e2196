"""Class names that look as if something else had been read as a class, or that CLIP cannot know."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from cssa_mm.datasets.readers.understanding import Question
from cssa_mm.names import one_form, plain_name

QUOTES = '"\'`“”„«»‘’'
MARKED = (*QUOTES, '#', '- ', '* ', '• ')
BRACKETS = re.compile(r'[\[\]{}"]')
JOINTS = re.compile(r'[\s,;|/+&_~#*·>、，；،-]+')
NUMBER = re.compile(r'[+-]?\d+([.,:]\d+)*%?')
# WordNet and Open Images ids, addresses, letters before a number, a word for 'class' before a number, long hexadecimal
# numbers, folders of cameras (100CANON).
CODE = re.compile(
    r'/[mg]/\w+|https?://\S+|[A-Za-z]{1,3}[-_.]?\d+|(class|label|category|cat|cls|tag|type|group|object|obj|id)[\s_-]?\d+|\d{3}[A-Z_]{5}|'
    r'(?=\w*\d)[0-9a-f]{8,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}',
    re.IGNORECASE,
)
SCORE = re.compile(r'.*\D[\s:=(]\s*(0?[.,]\d+|[01][.,]0+|\d+([.,]\d+)?\s?%)\s*\)?')  # cat:0.9, dog (87 %)
# Ends of the names of columns beside that of a class.
ENDINGS = re.compile(
    r'[\s_.-](pred|preds|predicted|prediction|prob|proba|probability|score|conf|confidence|logit|count)$', re.IGNORECASE
)
HTML = re.compile(r'&(amp|lt|gt|quot|nbsp|#\d+)\b')
PREFIX = re.compile(r'((label|class|tag|category|target|attr|attribute|num|count|y)[_.: -]+)\w', re.IGNORECASE)
MISSING = frozenset(
    ('nan', 'n/a', 'na', '<na>', '#n/a', 'null', 'nil', 'none', 'undefined', 'unknown', 'unlabelled', 'unlabeled',
     'missing', 'notavailable', 'tbd', '?', '??', '.', '', 'nothing', 'nofinding', 'nofindings', 'nolabel', 'nolabels',
     'noobject', 'noobjects', 'noneoftheabove', 'empty', 'background')
)  # fmt: skip
# As plain names. Words that may well be a class are not among them: train, date, path, file, target, score.
COLUMNS = frozenset(
    ('index', 'idx', 'id', 'imageid', 'imgid', 'fileid', 'fold', 'split', 'subset', 'isvalid', 'istrain', 'istest',
     'istraining', 'isvalidation', 'width', 'height', 'url', 'uri', 'imageurl', 'filename', 'filepath', 'imagename',
     'imagepath', 'imgpath', 'imgname', 'label', 'labels', 'classname', 'classid', 'bbox', 'xmin', 'xmax', 'ymin',
     'ymax', 'annotationid', 'annotator', 'createdat', 'updatedat', 'leadtime', 'timestamp', 'md5', 'sha1', 'sha256',
     'patientid', 'unnamed')
)  # fmt: skip
PARTS = frozenset(('test', 'val', 'valid', 'validation', 'images', 'imgs', 'annotations'))  # of a data set


def questions_of_names(names: Sequence[str], with_words: Collection[str] = ()) -> list[Question]:
    """Questions about C class names.

    Args:
        names: The class names.
        with_words: Those for which CLIP reads other words, so that codes are no matter.
    """
    simple = [one_form(name) for name in names]
    plain = {plain_name(name) for name in simple}
    kinds: list[tuple[str, list[str], str, str]] = [
        (
            'marks_in_names',
            [name for name in simple if BRACKETS.search(name) or name.startswith(MARKED) or name[-1:] in QUOTES],
            'holds quotes, brackets, braces or a mark of a list, as if a list or JSON had been read as a name',
            'set label_separators or format, or write the names plainly (cat;dog)',
        ),
        (
            'joined_names',
            list(_joined(simple)),
            'is made wholly of other class names, as if a cell with several had not been taken apart',
            'set label_separators to the character between them (" " for a blank); put photos into several folders',
        ),
        (
            'names_are_numbers',
            [name for name in simple if NUMBER.fullmatch(name)],
            'is only a number, as if an index or a measure had been read as a class',
            'leave the column out (ignore_columns), set label_column, or give the names in classes.txt',
        ),
        (
            'wrong_encoding',
            [name for name in simple if _is_garbled(name)],
            'looks as if it had been read in another encoding or form (cafÃ©, black &amp; white)',
            'write the names anew, or set encoding',
        ),
        (
            'scores_in_names',
            [name for name in simple if SCORE.fullmatch(name)],
            'ends in a number, as if a score or a share had been read as a part of the name',
            'take the numbers out of the table, and labels below a threshold of yours',
        ),
        (
            'derived_names',
            [name for name in simple if ENDINGS.search(name) and plain_name(ENDINGS.sub('', name)) in plain],
            'is another class name with an ending, as if predictions or counts had been read as a class',
            'leave the columns out: ignore_columns in a table, or class_names',
        ),
        (
            'missing_value_names',
            [name for name in simple if plain_name(name) in MISSING and not _is_column(name)],
            "is a word for 'unlabelled' or 'none of the classes'",
            'set unknown_word or none_word to it, whichever it says, or leave it out of the classes',
        ),
        (
            'column_names',
            [name for name in simple if _is_column(name)],
            'is the name of a column or folder that holds no class',
            'leave it out: ignore_columns in a table, or class_names',
        ),
    ]  # fmt: skip
    kinds.append(
        (
            'codes',
            [name for name in simple if CODE.fullmatch(name) and name not in with_words],
            'is only a code, which tells CLIP nothing',
            'give its words in classes.csv (name,prompt)',
        )
    )
    asked: set[str] = set()
    questions = []
    for kind, found, reason, fix in kinds:
        new = [name for name in found if name not in asked]  # the first reason is enough
        asked.update(new)
        if new:
            questions.append(Question(kind, f'{_classes(new)} {reason}', fix))
    prefixes = {match[1].lower() if (match := PREFIX.match(name)) else '' for name in simple if name not in asked}
    if len(simple) > 1 and len(prefixes) == 1 and prefixes != {''}:
        questions.append(
            Question(
                'common_prefix',
                f"{_classes(simple)} begins with '{prefixes.pop()}', which CLIP would read, too",
                'give the words in classes.csv (name,prompt), or take the beginning off',
            )
        )
    groups = _alike_groups([name for name in simple if name not in asked])
    return questions + ([_alike(groups)] if groups else [])


def _classes(names: Sequence[str], limit: int = 3) -> str:
    shown = ', '.join(f"'{name}'" for name in names[:limit])
    if len(names) == 1:
        return f'the class name {shown}'
    return f'each of the {len(names)} class names {shown}{", ..." if len(names) > limit else ""}'


def _joined(names: Sequence[str]) -> Iterator[str]:
    """The names that are two or more of the other names, one after the other, between blanks, commas or bars."""
    wholes = {tuple(_words(name)) for name in names}
    longest = max(map(len, wholes), default=0)
    for name in names:
        words = tuple(_words(name))
        # pieces[n]: whether the first n words are made of other names.
        pieces = [True] + [False] * len(words)
        for end in range(1, len(words) + 1):
            pieces[end] = any(
                pieces[start] and words[start:end] in wholes and end - start < len(words)
                for start in range(max(end - longest, 0), end)
            )
        if len(words) > 1 and pieces[-1]:
            yield name


def _words(name: str) -> list[str]:
    return [plain_name(word) for word in JOINTS.split(name) if word]


def _is_garbled(name: str) -> bool:
    """Whether a name is UTF-8 that was read as Windows' encoding, or HTML: 'cafÃ©', 'black &amp; white'."""
    try:
        return HTML.search(name) is not None or not name.isascii() and name.encode('cp1252').decode('utf-8') != name
    except UnicodeError:
        return False


def _is_column(name: str) -> bool:
    plain = plain_name(name)
    return (
        plain in COLUMNS
        or plain in PARTS
        or re.fullmatch(r'unnamed:\d+(level\d+)?', plain) is not None
        or (len(name) > 2 and name[0] == name[-1] == '_')  # _background_, __ignore__
    )


def _alike(groups: Sequence[Sequence[str]]) -> Question:
    shown = ', '.join(' and '.join(f"'{name}'" for name in group) for group in groups[:3])
    more = f' and {len(groups) - 3} more groups' if len(groups) > 3 else ''
    return Question(
        'names_alike',
        f'the class names {shown}{more} differ only in plural, accents or marks, as if one class had been written in '
        'several ways',
        'write them in one way in the annotation, or accept that they are several classes',
    )


def _alike_groups(names: Sequence[str]) -> list[list[str]]:
    first: dict[str, int] = {}
    group_of: dict[int, list[str]] = {}
    for index, name in enumerate(names):
        stems = _stems(name)
        known = next((first[stem] for stem in stems if stem in first), index)
        group_of.setdefault(known, []).append(name)
        for stem in stems:
            first.setdefault(stem, known)
    return [group for group in group_of.values() if len(group) > 1]


def _stems(name: str) -> list[str]:
    """The name without accents and marks, in its possible singulars."""
    letters = unicodedata.normalize('NFKD', plain_name(name))
    # Only the accents of European scripts: the voicing marks of kana, say, tell words apart.
    letters = ''.join(c for c in letters if not '\u0300' <= c <= '\u036f')
    bare = ''.join(c for c in letters if unicodedata.category(c)[0] not in 'PZ') or letters
    stems = [bare]
    if len(bare) > 3 and bare.isascii():
        stems += [bare[: -len(end)] + new for end, new in (('ies', 'y'), ('es', ''), ('s', '')) if bare.endswith(end)]
    return stems
