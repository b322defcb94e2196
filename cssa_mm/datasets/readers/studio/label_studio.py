"""Label Studio's JSON export as a label table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.studio.studio_answers import Annotation, Label, Task, table_of_tasks
from cssa_mm.datasets.readers.studio.studio_images import image_field, image_of
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

WORDS = ('annotations', 'completions')  # the second is the one of Label Studio before 1.0
# Answers that are no labels of an image, and regions whose labels come in a result of their own.
OTHER_TYPES = frozenset(
    'rating number textarea datetime pairwise ranker relation chatmessage table rectangle polygon ellipse keypoint '
    'brush bitmask vector magicwand cube'.split()
)


def is_label_studio(source: LabelSource) -> bool:
    """Whether a JSON file holds tasks with data and annotations."""
    if source.suffix != '.json':
        return False
    content = source.content
    start = content.lstrip(b'\xef\xbb\xbf \t\r\n')[:1]
    has_task = b'"data"' in content and any(b'"%s"' % word.encode() in content for word in (*WORDS, 'predictions'))
    return has_task and (start == b'[' or (start == b'{' and b'"result"' in content and b'"images"' not in content))


def read_label_studio(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a JSON export: the labels of one question, whose choices, taxonomy or regions are labels of the image.

    A task without a finished annotation is unlabelled: cancelled and skipped ones, drafts and predictions don't count.
    A finished annotation without a result shows none of the classes.

    Raises:
        DataError: The content has another form, a task lacks its image, a result has a type that is not known, or the
            labels are those of several questions.
    """
    content, path = source.json, source.path
    if isinstance(content, Mapping) and 'data' in content:
        content = [content]
    if not isinstance(content, list):
        raise DataError(
            f'{path}: found a {type(content).__name__} at the top, expected the list of tasks of a Label Studio '
            f'export (format JSON); export it again.'
        )
    for number, task in enumerate(content):
        if not isinstance(task, Mapping) or not isinstance(task.get('data'), Mapping):
            raise DataError(
                f"{_where(path, number, task)}: found no 'data', expected a task of a Label Studio export (format JSON "
                'or JSON-MIN); export it again, or write a CSV (image,labels).'
            )
    understanding = Understanding(path)
    field = image_field([task['data'] for task in content], path, options.image_column)
    tasks = [_task(task, _where(path, number, task), str(field), understanding) for number, task in enumerate(content)]
    understanding.facts['image field'] = str(field)
    for word in ('predictions', 'drafts'):
        count = sum(bool(task.get(word)) for task in content)
        if count:
            understanding.facts[word] = f'of {count} tasks, left out: they are no labels'
    return table_of_tasks(tasks, understanding, options)


def _where(path: str, number: int, task: object) -> str:
    return f'{path}, task {task.get("id", number) if isinstance(task, Mapping) else number}'


def _task(task: Mapping[str, Any], where: str, field: str, understanding: Understanding) -> Task:
    word = next((word for word in WORDS if word in task), None)
    result = Task(image_of(task['data'], field, where), where)
    found = task[word] if word else []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise DataError(f"{where}: found no list of objects in '{word}', expected annotations; export the file again.")
    for each in found:
        if each.get('was_cancelled') or each.get('skipped'):
            result.skipped += 1
        else:
            result.annotations.append(_annotation(each, where, understanding))
    return result


def _annotation(annotation: Mapping[str, Any], where: str, understanding: Understanding) -> Annotation:
    results = annotation.get('result')
    if not isinstance(results, list) or not all(isinstance(each, Mapping) for each in results):
        raise DataError(f"{where}: found an annotation without its 'result', expected a list; export the file again.")
    answers: dict[str, list[Label]] = {}
    objects: dict[str, Counter[str]] = {}
    says_more, asked = False, set()
    for each in results:
        kind, question = str(each.get('type', '')), str(each.get('from_name') or 'labels')
        if kind in OTHER_TYPES:
            says_more = says_more or kind != 'relation'
            if 'from_name' in each:
                understanding.left.setdefault(question, f"answers of the type '{kind}' are no labels")
        else:
            answers.setdefault(question, []).extend(labels_of_result(kind, each.get('value'), where))
            asked |= {question} if kind in ('choices', 'taxonomy') and 'x' not in each['value'] else set()
            objects.setdefault(question, Counter())[str(each.get('to_name', ''))] += 1
    for question, names in objects.items():
        understanding.left.pop(question, None)
        if len(names) > 1:
            raise DataError(
                f"{where}: found labels of the question '{question}' on {len(names)} objects ({', '.join(names)}), "
                'expected one image a task; ask a question for each image, and set label_column and image_column.'
            )
    person = annotation.get('completed_by')
    person = person.get('id', person.get('email')) if isinstance(person, Mapping) else person
    return Annotation(
        answers,
        says_more,
        frozenset(asked),
        bool(annotation.get('ground_truth') or annotation.get('honeypot')),
        '' if person is None else str(person),
        str(annotation.get('updated_at') or annotation.get('created_at') or ''),
    )


def label_key(value: Mapping[str, Any]) -> str | None:
    """The key of an answer that holds its labels."""
    return next((key for key in value if key in ('choices', 'taxonomy') or key.endswith('labels')), None)


def labels_of_result(kind: str, value: object, where: str) -> Sequence[Label]:
    """The labels of one result: its value has a key of the name of its type.

    Raises:
        DataError: The type is not known, or the value has another form.
    """
    if label_key({kind: None}) is None:
        raise DataError(
            f"{where}: found a result of the type '{kind}', which is not known, expected choices, taxonomy or labels "
            'of regions; write the labels into a CSV (image,labels), or report it.'
        )
    names = value.get(kind) if isinstance(value, Mapping) else None
    if isinstance(names, list):
        paths = [tuple(name) if isinstance(name, list) and kind == 'taxonomy' else (name,) for name in names]
        if all(path and all(isinstance(part, str) for part in path) for path in paths):
            return paths
    raise DataError(f"{where}: found a result of type '{kind}' without its names; export the file again.")
