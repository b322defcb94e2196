"""docs/formats.md: what is read, by which reader, and how unlabelled images and those with none of the classes show."""

from __future__ import annotations

from cssa_mm.datasets.readers import READERS
from cssa_mm.datasets.readers.datumaro_adapter import MISREAD, PACKAGES, TRIED

PAGE = """# Label formats

Made by `cssa import --formats` from the readers themselves; a test compares this page with them.

An image is *labelled* (some classes are known to show or not to show), *none of the classes* (labelled, too: all are
known not to show), or *unlabelled* (nothing is known). Each format says the last two in its own way:

| format | `format=` | unlabelled | none of the classes |
|---|---|---|---|
ROWS

The form is found by content; `format=NAME` (`--format NAME` of `cssa import`) decides where that fails. Images of the
folder that a label file does not mention are unlabelled. `cssa check FOLDER` prints how a file was understood, and asks
where something looks wrong. `unannotated='unlabelled'`, `'negative'` or `'drop'` decides what an image without
annotation is, in formats of objects.

## An example of each

EXAMPLES

## The long tail, by Datumaro

`cssa import SOURCE --out photos --datumaro` reads what has no reader here by
[Datumaro](https://github.com/open-edge-platform/datumaro), in a Python of its own: its OpenCV would overwrite the one
in use. Without a value, the flag makes that environment once, in `~/.cache/cssa_mm` (PACKAGES, from PyPI, some 600 MB);
`--datumaro PYTHON`, or the variable `CSSA_DATUMARO_PYTHON`, names one that is there. `--format NAME` chooses a format
where it detects none or several.

Datumaro does not tell unlabelled images from those with none of the classes: an image without a label becomes
unlabelled. Of Open Images, verified labels of confidence 0 are negatives, and what nobody has verified is unknown. A
format that has a reader above is left to it, whatever Datumaro says.

Tried with files that Datumaro had not written:

| format | `--format` |
|---|---|
TRIED

Refused, since it would be misread:

| `--format` | why, and what to do |
|---|---|
MISREAD

Each other format of Datumaro's is read after a question (`untried_format`): look at some rows of the table then.
"""


def formats_page() -> str:
    """The text of docs/formats.md."""
    rows = [f'| {reader.title} | `{name}` | {reader.unlabelled} | {reader.none} |' for name, reader in READERS.items()]
    examples = [f'{reader.title} (`{name}`):\n\n```text\n{reader.example}\n```' for name, reader in READERS.items()]
    tried = [f'| {title} | `{name}` |' for name, title in sorted(TRIED.items(), key=lambda item: item[1].casefold())]
    misread = [f'| `{name}` | {reason} |' for name, reason in MISREAD.items()]
    parts = {
        'ROWS': '\n'.join(rows),
        'EXAMPLES': '\n\n'.join(examples),
        'PACKAGES': ' and '.join(f'`{package}`' for package in PACKAGES),
        'TRIED': '\n'.join(tried),
        'MISREAD': '\n'.join(misread),
    }
    page = PAGE
    for name, text in parts.items():
        page = page.replace(name, text, 1)
    return page
