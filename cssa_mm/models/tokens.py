"""How many tokens a class name takes, and which names a text tower would cut, found by the tokenizer alone."""

from __future__ import annotations

from typing import Any

from cssa_mm.datasets.class_words import ClassWords


def prompt_text(text: str, placeholder: str) -> str:
    """The prompt of a wording as it is tokenised: words that stand for the M context vectors come first."""
    return f'{placeholder} {text}.'.strip()


def prompt_title(text: str, num_context: int) -> str:
    """What messages call the prompt of a wording."""
    return f"class name '{text}' after {num_context} context vectors"


def count_tokens(tokenizer: Any, text: str) -> int | None:
    """Tokens of a text with start and end, before anything is cut; None if the tokenizer cannot count."""
    encode, inner = getattr(tokenizer, 'encode', None), getattr(tokenizer, 'tokenizer', None)
    if encode is not None:
        return len(encode(text)) + 2
    if inner is None:
        return None
    clean = getattr(tokenizer, 'clean_fn', str)
    return len(inner(clean(text))['input_ids'])


def too_long(title: str, count: int | None, context_length: int) -> str:
    """The line that refuses a text that a tower of this context length would cut."""
    return (
        f'{title}: found {"too many" if count is None else count} tokens, expected at most the {context_length} of the '
        'text tower; shorten the name or lower prompts.num_context'
    )


def token_problems(tokenizer: Any, words: ClassWords, num_context: int) -> list[str]:
    """One line for each wording of a class that the text tower would cut, as training refuses it.

    Args:
        tokenizer: of a text tower, such as `load_tokenizer` opens without its weights.
        words: the C classes.
        num_context: M, `model.head.prompts.num_context`.
    """
    context_length = getattr(tokenizer, 'context_length', None)
    placeholder = ' '.join(['x'] * num_context)
    lines = []
    for text in (text for wordings in words.prompts for text in wordings):
        count = count_tokens(tokenizer, prompt_text(text, placeholder))
        if context_length is not None and count is not None and count > context_length:
            lines.append(too_long(prompt_title(text, num_context), count, context_length))
    return lines
