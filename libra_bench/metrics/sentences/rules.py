"""Matching of RuSH's rules: where sentences of clinical text begin and where they end.

A rule is a pattern over characters. `(` and `)` enclose what it marks, up to its end where there
is no `)`; after a backslash a letter is a class of characters (`_CLASSES`, and `b` and `e` for the
ends of the text); `+` repeats what stands before it, once or as often as it goes. A rule is of one
of four kinds: `begin` and `end` mark a place, `not_begin` and `not_end` overrule such marks where
they overlap. All rules form one trie, walked from every character of a text.

Of two marks that overlap the wider stays, the first among equals. Where a mark overlaps several,
RuSH (Shi et al., PyRuSH 1.0.13 with PyFastNER) compares it with one of them that a random tree
picks; here it is the one that begins last.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import NamedTuple

_LONGEST_REPEAT = 50
_CLASSES: dict[str, Callable[[str], bool]] = {
    "s": lambda char: char in " \t\u00a0",
    "n": lambda char: char in "\n\r",
    "(": lambda char: char == "(",
    ")": lambda char: char == ")",
    "d": str.isdigit,
    "C": str.isupper,
    "c": str.islower,
    "p": lambda char: char in string.punctuation,
    "\\": lambda char: char == "\\",
    "a": lambda char: not char.isspace(),
    "u": lambda char: char > "~" and char != "\u00a0",
    "w": lambda char: char > "~" or char.isspace(),
}
_REPEATABLE = frozenset("sndCcpauw")


class Mark(NamedTuple):
    """A span of characters, end exclusive."""

    begin: int
    end: int

    @property
    def width(self) -> int:
        return self.end - self.begin


class Rule(NamedTuple):
    """A pattern, whether it tells of ends or of beginnings, and whether it marks or overrules."""

    pattern: str
    of_end: bool
    marks: bool


class _Way(NamedTuple):
    """What a node does with a character: where to go on, in this order."""

    classes: tuple[tuple[_Node, str], ...]
    opening: _Node | None
    closing: _Node | None
    literal: _Node | None
    repeat: _Node | None


@dataclass(slots=True, eq=False)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    rules: dict[bool, bool] = field(default_factory=dict)
    """By `of_end`, whether the rule that is complete here marks or overrules."""
    ways: dict[str, _Way] = field(default_factory=dict)

    def way(self, char: str) -> _Way:
        """Where to go on from here on a character; worked out once."""
        way = self.ways.get(char)
        if way is None:
            escaped = self.children.get("\\")
            classes = tuple(
                (child, letter)
                for letter, child in (escaped.children if escaped else {}).items()
                if letter == "b" or (letter in _CLASSES and _CLASSES[letter](char))
            )
            literal = None if char in "()" else self.children.get(char)
            brackets = self.children.get("("), self.children.get(")")
            way = self.ways[char] = _Way(classes, *brackets, literal, self.children.get("+"))
        return way


class Rules:
    """All rules of a set, ready to match.

    Args:
        rules: their order decides between marks of equal width.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._root = _Node()
        for rule in rules:
            node = self._root
            for char in rule.pattern:
                node = node.children.setdefault(char, _Node())
            node.rules[rule.of_end] = rule.marks

    def marks(self, text: str) -> tuple[list[Mark], list[Mark]]:
        """The places where sentences begin and where they end, in the order of their finding."""
        found = {False: _Marks(), True: _Marks()}
        _Walk(text, found).from_everywhere(self._root)
        return list(found[False].kept()), list(found[True].kept())


class _Walk:
    """One walk over a text: a path in the trie beside a path in the text."""

    def __init__(self, text: str, found: dict[bool, _Marks]) -> None:
        self._text = text
        self._found = found

    def from_everywhere(self, root: _Node) -> None:
        for place in range(len(self._text)):
            self._step(root, place, 0, place, " ", False)

    def _step(
        self, node: _Node, begin: int, end: int, place: int, before: str, in_class: bool
    ) -> None:
        """Go on from a node at a place of the text.

        Args:
            begin, end: of what is marked so far; end 0 while it is open.
            before: the letter of the pattern by which this node was reached.
            in_class: whether that letter is a class.
        """
        if place == len(self._text):
            self._finish(node, begin, end, place)
            return
        char = self._text[place]
        classes, opening, closing, literal, repeat = node.ways.get(char) or node.way(char)
        for child, letter in classes:
            if letter != "b":
                self._step(child, begin, end, place + 1, letter, True)
            elif place == 0:
                self._step(child, begin, end, place, letter, True)
        if before != "\\":
            if opening is not None:
                self._step(opening, place, end, place, "(", False)
            if closing is not None:
                self._step(closing, begin, place, place, ")", False)
        if node.rules:
            self._add(node, begin, end or place)
        if literal is not None:
            self._step(literal, begin, end, place + 1, char, False)
        if repeat is not None:
            self._step(repeat, begin, end, place, "+", False)
            if not in_class or before in _REPEATABLE:
                further = self._repeats(before, in_class, place)
                self._step(repeat, begin, end, further, "+", False)

    def _repeats(self, letter: str, in_class: bool, place: int) -> int:
        """The place behind as many repeats as there are."""
        fits = _CLASSES[letter] if in_class else letter.__eq__
        stop = min(len(self._text), place + _LONGEST_REPEAT)
        while place < stop and fits(self._text[place]):
            place += 1
        return place

    def _finish(self, node: _Node, begin: int, end: int, place: int) -> None:
        """The text is over: what may still be complete here."""
        escaped, closing = node.children.get("\\"), node.children.get(")")
        if node.rules:
            self._add(node, begin, end or place)
        elif escaped is not None and "e" in escaped.children:
            self._add(escaped.children["e"], begin, end or place)
        elif closing is not None and closing.rules:
            self._add(closing, begin, place)
        elif closing is None and "+" in node.children:
            self._finish(node.children["+"], begin, end, place)

    def _add(self, node: _Node, begin: int, end: int) -> None:
        mark = Mark(min(begin, end), max(begin, end))
        for of_end, marks in node.rules.items():
            self._found[of_end].add(mark, marks)


class _Marks:
    """Marks of beginnings or of ends of which no two overlap, but for those a wide one joins."""

    def __init__(self) -> None:
        self._marks: list[tuple[Mark, bool]] = []
        self._occupied: list[tuple[int, int, int]] = []

    def add(self, mark: Mark, marks: bool) -> None:
        """Take a mark, unless one at least as wide is in its place."""
        overlapped = max(
            (
                (begin, number)
                for number, (begin, end, _) in enumerate(self._occupied)
                if _overlap(begin, end, mark)
            ),
            default=None,
        )
        if overlapped is None:
            # The first mark of a text counts as one shorter than it is.
            end = mark.end if self._marks else mark.end - 1
            self._occupied.append((mark.begin, end, len(self._marks)))
            self._marks.append((mark, marks))
            return
        place = self._occupied[overlapped[1]][2]
        if mark.width > self._marks[place][0].width:
            self._marks[place] = (mark, marks)
            self._occupied.append((mark.begin, mark.end, place))

    def kept(self) -> Iterator[Mark]:
        """Those that mark; those that overrule have done their work."""
        return (mark for mark, marks in self._marks if marks)


def _overlap(begin: int, end: int, mark: Mark) -> bool:
    """Whether an occupied span and a mark overlap; one without width does where it begins."""
    return (
        (begin < mark.end and mark.begin < end)
        or begin == mark.begin == mark.end
        or begin == end == mark.begin
    )


@cache
def clinical() -> Rules:
    """The rules that medspaCy ships for English."""
    path = resources.files("libra_bench.metrics") / "constants" / "sentence_rules.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return Rules(
        Rule(pattern, of_end=kind.endswith("end"), marks=not kind.startswith("not_"))
        for kind, pattern in rows
    )
