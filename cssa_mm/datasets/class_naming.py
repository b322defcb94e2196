"""The part of a data set that knows its classes and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cssa_mm.datasets.class_words import ClassWords, class_words, decode_class_words
from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.errors import DataError
from cssa_mm.names import one_form


class ClassNaming(DataRoot):
    """Class names of a data set, from its ``METAINFO`` or set once, and the prompts that a class file gives them."""

    _metainfo: dict
    _prompts: Mapping[str, Sequence[str]] = {}

    @property
    def class_names(self) -> list[str]:
        """The C class names."""
        return [one_form(name) for name in self._metainfo.get('classes', ())]

    @property
    def class_words(self) -> ClassWords:
        """The C class names with the prompts for each: the name itself where no other was given."""
        return ClassWords.of({name: self._prompts.get(name, ()) for name in self.class_names})

    def set_classes(self, source: Sequence[str] | Mapping | str) -> None:
        """Take the classes of a list, of a dict name -> prompts, or of a class file.

        Raises:
            DataError: The file is missing or no class file, or a name is empty, doubled or no text.
        """
        if isinstance(source, str):
            path = self.locate(source)
            words = decode_class_words(self.read_bytes(path, 'a text file with one class name a line'), path)
            if words is None:
                raise DataError(
                    f"{path}: found neither a header with 'name' and 'prompt' nor a list of names, expected a class "
                    'file; for the classes of a label file, leave class_names out.'
                )
        else:
            words = class_words(source, 'class_names')
        self._metainfo['classes'] = tuple(words)
        self._prompts = words
