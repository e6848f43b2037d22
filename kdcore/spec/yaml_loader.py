"""YAML as data: PyYAML's safe loader, which reads 5e-2 as a number and reports keys that stand twice."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import yaml

from kdcore.errors import Problem, UserError
from kdcore.spec.parsed import Object, broken

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAP: Final = "tag:yaml.org,2002:map"
_MERGE: Final = "tag:yaml.org,2002:merge"
_MOST_ALIASES: Final = 1000
_MOST_KEYS: Final = 10_000
# YAML 1.1 wants a point and a sign in the exponent, and takes 5e-2 for text
# what YAML 1.1 reads as another number than the one that stands there
_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+")
_EXPONENT: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                self._refuse("more aliases than any spec has", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:  # merged mappings of merged mappings grow without end
            self._refuse("more keys than any spec has", node.start_mark)

    def construct_object_of_keys(self, node: yaml.MappingNode) -> Iterator[Object]:
        data = Object()
        yield data
        count = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        data.duplicates = tuple(
            dict.fromkeys(value for (tag, value), times in count.items() if tag != _MERGE and times > 1)
        )
        data.update(self.construct_mapping(node))

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if ":" in text:
            self._refuse(
                f"'{text}' is a number of base 60 in YAML: write the number itself, or quote it",
                node.start_mark,
            )
        if _OCTAL.fullmatch(text):
            self._refuse(
                f"'{text}' is an octal number in YAML: leave out the leading 0, or quote it", node.start_mark
            )
        whole = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)

    def _refuse(self, message: str, mark: Any) -> None:
        raise yaml.constructor.ConstructorError(None, None, message, mark)


_Loader.add_constructor(_MAP, _Loader.construct_object_of_keys)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def parse(text: str, where: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        UserError: it is broken, has a tag beyond plain data, or more than one document.
    """
    loader: Any = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message, hint = error.problem or "it cannot be read", None
        if message.startswith("could not determine a constructor for the tag"):
            hint = "a spec is data: it has no tags"
        elif "'\\t'" in message:
            hint = "indent with spaces"
        if mark is None:
            raise UserError(Problem(where, f"broken YAML: {message}", hint=hint)) from None
        broken("YAML", where, text, message, mark.line + 1, mark.column + 1, hint)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        broken("YAML", where, text, str(error.reason), line, None, None)
    finally:
        if loader is not None:
            loader.dispose()
