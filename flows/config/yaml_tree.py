"""Reads YAML so that every value keeps its line, and nothing turns into what its author did not write.

Plain scalars follow JSON: `null`, `true`, `false` and whole numbers are those; all else is text. The
surprises of YAML 1.1 are therefore none: `no` is Norway, `on` is a word, `1:30` is text and `2024-01-01` no
date.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml

from flows.config.mistakes import Path

MAX_VALUES: Final = 100_000
"""Values in one file, aliases expanded: beyond any real file, too few for a `billion laughs` to hurt."""

MAX_DEPTH: Final = 50
"""Lists and sections within each other; the longest way in a real file has six."""


class Place(NamedTuple):
    """Where something stands; both from 1, the column in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in the text that is not right whatever it means."""

    place: Place
    path: Path
    message: str


@dataclass(slots=True)
class Tree:
    """The values of a file, the places they stand at, and what is wrong with the text."""

    value: Any = None  # dict, list, str, int, bool, None
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)  # of entries of sections only
    flaws: list[Flaw] = field(default_factory=list)

    def place(self, path: Path, of_key: bool = False) -> Place | None:
        """Where `path` stands; for one that is not there, the nearest around it. None: an empty file."""
        if of_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if length < len(path) and path[:length] in self.keys:
                return self.keys[path[:length]]
            if path[:length] in self.values:
                return self.values[path[:length]]
        return None


class _Loader(yaml.SafeLoader):
    """Plain scalars by the rules of JSON."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


# The first characters by which pyyaml finds its candidates; the empty scalar is null.
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|Null|NULL|~|)\Z"), ["n", "N", "~", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z"), list("-0123456789"))


def read_tree(data: bytes) -> Tree:
    """The tree of one YAML document. Never raises: a text that is no YAML has no value and a flaw."""
    tree = Tree()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        tree.flaws.append(_not_utf8(data, error))
        return tree
    try:
        root = _compose(text)
    except yaml.YAMLError as error:
        flaw = _flaw_of(error, text)
        tree.flaws.append(flaw)
        if "tab" not in flaw.message:
            return tree
        # pyyaml gives up at the first tab; with blanks in their place the rest can be judged as well.
        tree.flaws = list(_tabs(text, flaw))
        try:
            root = _compose(text.replace("\t", " "))
        except (yaml.YAMLError, RecursionError):
            return tree
    except RecursionError:
        tree.flaws.append(Flaw(Place(1, 1), (), TOO_DEEP))
        return tree
    if root is not None:
        try:
            tree.value = _Builder(tree).value(root, (), frozenset())
        except _Hopeless as hopeless:
            tree.flaws.append(hopeless.flaw)
    # What an alias repeats is wrong in one place only.
    tree.flaws = list({(flaw.place, flaw.message): flaw for flaw in reversed(tree.flaws)}.values())[::-1]
    return tree


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


TOO_DEEP: Final = f"sections or lists lie more than {MAX_DEPTH} deep within each other"
TOO_MUCH: Final = f"more than {MAX_VALUES} values, counting those that aliases (*name) repeat"


class _Hopeless(Exception):  # noqa: N818 - a signal within this module
    def __init__(self, node: yaml.Node, why: str) -> None:
        super().__init__(why)
        self.flaw = Flaw(_place(node.start_mark), (), why)


class _Builder:
    """Turns nodes into values, noting where each stands."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._left = MAX_VALUES

    def _flaw(self, node: yaml.Node, path: Path, message: str) -> None:
        self._tree.flaws.append(Flaw(_place(node.start_mark), path, message))

    def value(self, node: yaml.Node, path: Path, above: frozenset[int]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _Hopeless(node, TOO_MUCH)
        self._tree.values[path] = _place(node.start_mark)
        if id(node) in above:
            self._flaw(node, path, "this contains itself through an alias (*name)")
            return None
        if len(path) > MAX_DEPTH:
            raise _Hopeless(node, TOO_DEEP)
        above |= {id(node)}
        if isinstance(node, yaml.MappingNode):
            return self._section(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index), above) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        if kind != "str":
            self._flaw(node, path, f"the tag {node.tag} is not supported; write the plain value")
        return text

    def _section(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> dict[str, Any]:
        section: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._flaw(key_node, path, "a key must be plain text")
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            if key in section:
                first = self._tree.keys[(*path, key)]
                self._flaw(key_node, (*path, key), f"this key is given twice, first in line {first.line}")
                continue
            self._tree.keys[(*path, key)] = _place(key_node.start_mark)
            section[key] = self.value(value_node, (*path, key), above)
        for source in merged:
            self._merge(source, section, path, above)
        return section

    def _merge(self, source: yaml.Node, section: dict[str, Any], path: Path, above: frozenset[int]) -> None:
        """`<<: *name`: what the named section has and this one does not say itself."""
        if not isinstance(source, yaml.MappingNode):
            self._flaw(source, path, "<< expects a section")
            return
        if id(source) in above:
            self._flaw(source, path, "this contains itself through an alias (*name)")
            return
        own = dict(section)
        places = [dict(self._tree.keys), dict(self._tree.values)]
        added = self._section(source, path, above | {id(source)})
        self._tree.keys |= places[0]
        self._tree.values |= places[1]
        section |= added | own


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _place_of_index(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> Flaw:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Flaw(Place(1, 1), (), "this is UTF-16, expected UTF-8")
    before = data[: error.start].decode("utf-8-sig", "replace")
    return Flaw(_place_of_index(before, len(before)), (), f"the byte {data[error.start]:#04x} is not UTF-8")


KINDLY: Final = (
    # What pyyaml says, and what helps.
    (r"found character '\\t'", "a tab; YAML is indented and separated with blanks"),
    (r"found character '([@`%])'", r"text that begins with {0} must be quoted"),
    (
        r"mapping values are not allowed here",
        "a colon where none can be; check the indentation of this line and the one above",
    ),
    (r"could not find expected ':'", "a line that is neither `key: value` nor `- item`"),
    (r"did not find expected key|expected <block end>", "the indentation does not match the lines above"),
    (r"found unexpected end of stream|found unexpected end", "a quote or bracket is not closed"),
    (
        r"expected ',' or '([\]}])'",
        "a list or section in brackets is not closed with {0}, or a comma is missing",
    ),
    (
        r"found undefined alias '?(.{1,40}?)'?$",
        "*{0} refers to nothing; define it before with &{0}, or quote the text",
    ),
    (r"expected a single document|but found another document", "a second document (---); expected only one"),
    (r"special characters are not allowed", "a control character"),
)
"""Patterns of pyyaml's messages and kinder words for them."""


def _flaw_of(error: yaml.YAMLError, text: str) -> Flaw:
    if isinstance(error, yaml.reader.ReaderError):
        return Flaw(_place_of_index(text, error.position), (), f"a control character (U+{error.character:04X})")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or error)
    message = f"not valid YAML: {said}"
    for pattern, kind in KINDLY:
        match = re.search(pattern, said) or re.search(pattern, str(getattr(error, "context", "") or ""))
        if match:
            message = kind.format(*match.groups())
            break
    return Flaw(_place(mark) if mark else Place(1, 1), (), message)


def _tabs(text: str, first: Flaw) -> Iterator[Flaw]:
    """The tab that pyyaml stopped at, and those in the indentation of other lines."""
    yield first
    for number, line in enumerate(text.splitlines(), 1):
        column = line.find("\t") + 1
        if column and not line[: column - 1].strip() and line.strip() and number != first.place.line:
            yield Flaw(Place(number, column), (), first.message)
