"""What was understood of a label file, and what about it is questioned: a value that `cssa check` prints."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Question:
    """Something that looks wrong, in one line: training goes on only after an answer.

    Attributes:
        kind: What is asked, in a word that the config key `accept` takes: 'one_label_an_image'.
        text: What was found and why it looks wrong.
        fix: The key that changes the reading; accepting is offered by whoever prints the question.
    """

    kind: str
    text: str
    fix: str

    def line(self) -> str:
        """The question as one line."""
        return f'{self.text} -> {self.fix}'


@dataclass
class Understanding:
    """How a reader understood one label file.

    Attributes:
        source: Path of the file.
        format: Name of the reader, such as 'csv'.
        facts: What was found, by its name and in the order in which it is printed: encoding, separator, what counts as
            yes, no and unknown, the rule that found the images.
        taken: Columns or questions that hold labels.
        left: Columns or questions that were left, with the reason.
        left_out: Images that were left out, by the reason.
        questions: What looks wrong.
    """

    source: str
    format: str = ''
    facts: dict[str, str] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
