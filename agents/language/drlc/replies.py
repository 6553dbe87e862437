"""What a critic's reply says of a text: the three parsers of the authors' code as they are, and our reader.

Source: Cao et al. 2024 (arXiv 2401.07382), google-research/google-research, relc/llm-intrinsic-reward. In their code a
token is marked if its text is anywhere in that of the spans: wherever the token stands, and inside words too ("a" is in
"awful"). A reply without a span in the right form is one span, so that "there are no toxic spans" marks four words. We
look for a span's characters in the text, mark the tokens that it overlaps, and count what cannot be read.
All functions are of one text: tokens are strings that make it up. They are on the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from prospect_rl.agents.language.drlc.critique import EMPTY, MISSING, SAID, UNPARSABLE, Span

NONE = "None identified"
"""What a critic says instead of a span."""
NEGATIVE = "Identified Negative Text Span:"
"""The heading between good spans and bad ones."""
TAGGED = re.compile(
    r"\[?\b(?:Toxic )?Span \d+\]?:\s*(.*?)\s*(?:\(Label: .*?\)\s*)?(?=\[?\b(?:Toxic )?Span \d+\]?:|\n|$)"
)
"""A span in any of the three forms."""
Interval = tuple[int, int]
"""First step and step after the last."""
Matcher = Callable[[Sequence[str], Sequence[str]], list[Interval]]
"""(spans, tokens) -> the steps that the spans are: `offsets` or `substring`."""

# --- the authors' parsers ----------------------------------------------------------------------------


def sentiment(reply: str, tokens: Sequence[str], good: float, bad: float) -> list[float]:
    """Rewards of tokens: `good` where a token is in the reply's first part, plus `bad` where it is in its second one.

    In the authors' code a reply without the heading moreover shifts the good parts of all texts after it by one.
    """
    parts = [part.strip() for part in reply.split(NEGATIVE)]

    def marked(part: str, value: float) -> list[float]:
        said = re.sub(r"\[Span \d+\]:\s*", "", part.replace(NONE, "").strip())
        return [value if token.strip() and token.strip() in said else 0.0 for token in tokens]

    praise, blame = marked(parts[0], good), marked(parts[1] if len(parts) > 1 else "", bad)
    return [a + b for a, b in zip(praise, blame, strict=True)]


def toxicity(reply: str | None, tokens: Sequence[str], good: float, bad: float) -> list[float]:
    """Rewards of tokens: `bad` where a token is in the spans, else `good`; zeros where there is no reply (None)."""
    if reply is None:
        return [0.0] * len(tokens)
    reply = reply.replace(NONE, "")
    spans = re.findall(r"Toxic Span \d+: ([^\n]+)", reply)
    said = " ".join(spans) if spans or not reply.strip() else reply.strip()
    return [bad if token in said else good for token in tokens]


def summary(reply: str, tokens: Sequence[str], good: float, bad: float) -> list[float]:
    """Rewards of tokens: `bad` where a token is in the spans, else `good`."""
    said = "\n".join(re.findall(r"Span \d+: ([^\n]*?)(?: \(Label: [^\n]*?\))?(?:\n|$)", reply.replace(NONE, "")))
    return [bad if token in said else good for token in tokens]


# --- ours --------------------------------------------------------------------------------------------


def offsets(spans: Sequence[str], tokens: Sequence[str]) -> list[Interval]:
    """The steps whose tokens overlap a span's characters. Equal spans are one occurrence after the other.

    A span that is not in the text is dropped.
    """
    text, found = "".join(tokens), []
    begins = [sum(map(len, tokens[:i])) for i in range(len(tokens) + 1)]
    looked: dict[str, int] = {}
    for span in (span.strip() for span in spans):
        at = text.find(span, looked.get(span, 0)) if span else -1
        if at >= 0:
            looked[span] = at + len(span)
            inside = [i for i in range(len(tokens)) if begins[i] < at + len(span) and begins[i + 1] > at]
            found.append((inside[0], inside[-1] + 1))
    return found


def substring(spans: Sequence[str], tokens: Sequence[str]) -> list[Interval]:
    """The authors' way: every step whose token is anywhere in the spans' text."""
    said = " ".join(spans)
    return [(i, i + 1) for i, token in enumerate(tokens) if token.strip() and token.strip() in said]


def read(
    reply: str | None, tokens: Sequence[str], *, praises: bool, matcher: Matcher = offsets
) -> tuple[list[Span], int]:
    """(spans over steps, status) of a reply; None is one that never came.

    praises: whether the reply names good spans, and bad ones behind a heading; else it names bad ones alone.
    """
    if reply is None:
        return [], MISSING
    good, _, bad = reply.partition(NEGATIVE) if praises else ("", "", reply)
    named = [[span for span in TAGGED.findall(part) if span and span != NONE] for part in (good, bad)]
    spans = [(*at, sign) for sign, part in zip((1, -1), named, strict=True) for at in matcher(part, tokens)]
    if spans:
        return spans, SAID
    return [], EMPTY if any(named) or not reply.strip() or NONE in reply else UNPARSABLE
