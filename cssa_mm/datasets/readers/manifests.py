"""JSON lines of the labelling services: SageMaker Ground Truth, Vertex AI and Azure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError, nearest

Line = tuple[str, Mapping[str, Any]]  # its place and content
SUFFIXES = ('.jsonl', '.ndjson', '.manifest', '.json')
SERVICES = {'source-ref': 'SageMaker Ground Truth', 'imageGcsUri': 'Vertex AI', 'image_url': 'Azure'}
VERTEX_LISTS = ('classificationAnnotations', 'boundingBoxAnnotations')
VERTEX_USE = 'aiplatform.googleapis.com/ml_use'


def is_manifest(source: LabelSource) -> bool:
    """Whether the first line is a JSON object with the image's key of one of the services."""
    if source.suffix not in SUFFIXES:
        return False
    start = source.content.lstrip(b'\xef\xbb\xbf \t\r\n')[:1_000_000]
    if not start.startswith(b'{'):
        return False
    try:
        first = json.loads(start.split(b'\n', 1)[0])
    except ValueError:
        return False
    return isinstance(first, dict) and _key(first) is not None


def read_manifest(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read JSON lines with ``source-ref``, ``imageGcsUri`` or ``image_url``; objects are labels of the image.

    A line without a label, or whose labelling failed, is unlabelled; an empty list shows none of the classes.

    Raises:
        DataError: A line has another form, or there are the labels of several jobs and none is chosen.
    """
    lines = _lines(source)
    understanding = Understanding(source.path)
    key = _key(lines[0][1]) if lines else None
    if key is None:
        raise DataError(
            f'{source.path}: found no line with {", ".join(SERVICES)}, expected JSON lines of SageMaker Ground Truth, '
            'Vertex AI or Azure; write the labels into a CSV (image,labels).'
        )
    understanding.facts['service'] = SERVICES[key]
    if key == 'imageGcsUri':
        lines = _of_part(lines, understanding, options)
    reader: Callable[[Line], list[str] | None] = {'imageGcsUri': _vertex, 'image_url': _azure}.get(key) or _SageMaker(
        lines, understanding, options
    ).labels
    none_words = {word.casefold() for word in options.none_word}
    rows = []
    for where, content in lines:
        if not isinstance(content.get(key), str):
            raise DataError(f"{where}: found no '{key}', expected it in each line as in the first; correct the line.")
        names = reader((where, content))
        labels = {name: 1 for name in names or () if name.casefold() not in none_words}
        rows.append(TableRow(content[key], labels, -1 if names is None else 0, where))
    table = table_of_rows(rows, understanding)
    table.is_split = False
    return table


def _key(content: Mapping[str, Any]) -> str | None:
    return next((key for key in SERVICES if key in content), None)


def _lines(source: LabelSource) -> list[Line]:
    result: list[Line] = []
    for number, text in enumerate(source.text.split('\n'), 1):
        if not text.strip('\ufeff \t\r'):
            continue
        where = f'{source.path}, line {number}'
        try:
            content = json.loads(text.strip('\ufeff'))
        except ValueError as error:
            raise DataError(
                f'{where}: found no valid JSON ({error}), expected one object a line; export the file again.'
            ) from error
        if not isinstance(content, dict):
            raise DataError(f'{where}: found a {type(content).__name__}, expected an object; export the file again.')
        result.append((where, content))
    return result


def _names(found: object, where: str, key: str) -> list[str]:
    """The names of a list of texts, or of objects with the name at ``key``."""
    parts = found if isinstance(found, list) else [found]
    names = [part.get(key) if isinstance(part, Mapping) else part for part in parts]
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{where}: found the labels {str(found)[:60]}, expected names or objects with '{key}'.")
    return [str(name) for name in names]


def _vertex(line: Line) -> list[str] | None:
    where, content = line
    found = [content[key] for key in VERTEX_LISTS if content.get(key) is not None]
    if content.get('classificationAnnotation') is not None:
        found.append([content['classificationAnnotation']])
    return [name for each in found for name in _names(each, where, 'displayName')] if found else None


def _of_part(lines: Sequence[Line], understanding: Understanding, options: ReadOptions) -> list[Line]:
    """The lines of the part that ``subset`` names; a file that marks parts is questioned where none is named."""
    uses = [str((content.get('dataItemResourceLabels') or {}).get(VERTEX_USE, '')) for _, content in lines]
    counts = Counter(use for use in uses if use)
    if options.subset is not None:
        if options.subset not in counts:
            raise DataError(
                f"{understanding.source}: found no line of the part '{options.subset}', expected one of "
                f'{", ".join(counts) or "none"}.{nearest(options.subset, counts)} Correct subset.'
            )
        understanding.facts['part'] = f'{options.subset} ({counts[options.subset]} of {len(lines)} lines)'
        return [line for line, use in zip(lines, uses, strict=True) if use == options.subset]
    if len(counts) > 1:
        shown = ', '.join(f'{use} ({count})' for use, count in counts.items())
        understanding.questions.append(
            Question(
                'parts',
                f'{understanding.source}: the lines are marked as parts: {shown}, and all are taken',
                f'set subset={next(iter(counts))} to take one part',
            )
        )
    return list(lines)


def _azure(line: Line) -> list[str] | None:
    where, content = line
    found = content.get('label')
    return None if found is None or found == '' else _names(found, where, 'label')


class _SageMaker:
    """The labels of one job of SageMaker Ground Truth, or of the jobs of Rekognition, which has one for each class."""

    def __init__(self, lines: Sequence[Line], understanding: Understanding, options: ReadOptions) -> None:
        types: dict[str, str] = {}
        names: dict[str, set[str]] = {}
        machine = 0
        for _, content in lines:
            for key, about in content.items():
                if not key.endswith('-metadata') or not isinstance(about, Mapping):
                    continue
                job = key.removesuffix('-metadata')
                types[job] = types.get(job) or str(about.get('type', '')).removeprefix('groundtruth/')
                names.setdefault(job, set()).add(str(about.get('class-name', '')))
                machine += about.get('human-annotated') == 'no'
        known = ('image-classification', 'image-classification-multilabel', 'object-detection')
        jobs = [job for job, kind in types.items() if kind in known]
        understanding.left = {job: f"labels of the type '{types[job]}'" for job in types if job not in jobs}
        self.jobs = self._chosen(jobs, understanding, options)
        if len(self.jobs) > 1 and options.label_column is None:
            is_rekognition = all(types[job] == known[0] and len(names[job]) == 1 for job in self.jobs)
            if not is_rekognition:
                raise DataError(
                    f'{understanding.source}: found the labels of {len(jobs)} jobs: {", ".join(jobs)}, expected to be '
                    f'told which; set label_column={jobs[0]}, or several of them with commas between them.'
                )
            understanding.facts['jobs'] = f'one for each of {len(jobs)} classes, taken together'
        self.one_class = len(self.jobs) > 1
        understanding.taken = self.jobs
        failed = sum(
            'failure-reason' in (content.get(f'{job}-metadata') or {}) for _, content in lines for job in self.jobs
        )
        if failed:
            understanding.facts['failed'] = f'{failed} lines, which are unlabelled'
        if machine:
            understanding.questions.append(
                Question(
                    'machine_labels',
                    f'{understanding.source}: {machine} labels are marked as not given by a person',
                    "remove the lines with 'human-annotated': 'no', or accept them",
                )
            )

    @staticmethod
    def _chosen(jobs: list[str], understanding: Understanding, options: ReadOptions) -> list[str]:
        if not jobs:
            raise DataError(
                f'{understanding.source}: found no labels of images or objects ('
                f'{", ".join(f"{job}: {reason}" for job, reason in understanding.left.items()) or "no metadata"}), '
                "expected '<job>' and '<job>-metadata' in each line; export the labels again."
            )
        if options.label_column is None:
            return jobs
        wanted = [options.label_column] if options.label_column in jobs else options.label_column.split(',')
        for job in wanted:
            if job not in jobs:
                raise DataError(
                    f"{understanding.source}: found no labels of the job '{job}', expected one of {', '.join(jobs)}."
                    f'{nearest(job, jobs)} Correct label_column.'
                )
        return wanted

    def labels(self, line: Line) -> list[str] | None:
        """The names of the classes of a line; None where it has no label."""
        where, content = line
        found = [labels for job in self.jobs if (labels := self._of_job(where, content, job)) is not None]
        return [name for labels in found for name in labels] if found else None

    def _of_job(self, where: str, content: Mapping[str, Any], job: str) -> list[str] | None:
        value, about = content.get(job), content.get(f'{job}-metadata') or {}
        if value is None or 'failure-reason' in about:
            return None
        kind = str(about.get('type', '')).removeprefix('groundtruth/')
        if kind == 'image-classification' and 'class-name' in about:
            return [] if self.one_class and value == 0 else _names(about['class-name'], where, '')
        if kind == 'object-detection':
            value = [each.get('class_id') for each in value.get('annotations', [])] if isinstance(value, dict) else None
        class_map = about.get('class-map') or {}
        numbers = value if isinstance(value, list) else [value]
        try:
            return [str(class_map[str(number)]) for number in numbers]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{where}: found '{job}' with {str(content.get(job))[:60]}, expected numbers that the class-map of its "
                f'metadata names ({", ".join(map(str, class_map)) or "none"}); correct the line.'
            ) from error
