"""What a row shows where its instances disagree: of each attribute the earliest received value that is not blank.

The outcome depends on the set of instances only, not on the order in which they are offered.
"""

from collections.abc import Iterable, Mapping, Sequence

from apps.storage.columns import Attribute, Value

FIRST = "*"  # stands in `sources` for every attribute that is not named


class Merged:
    """One row's values, the name of the file each came from, and which of them were disputed just now."""

    __slots__ = ("attributes", "changed", "disputed", "sources", "values")

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self.attributes = attributes
        self.values: list[Value] = [attribute.kind.blank for attribute in attributes]
        self.sources: list[str] = [""] * len(attributes)
        self.changed: set[int] = set()
        self.disputed: dict[int, dict[str, str]] = {}  # index of the attribute -> text -> earliest file that says so

    def load(self, texts: Sequence[str], sources: Mapping[str, str]) -> None:
        """From a row: the texts alone, since every other column follows from them."""
        first = sources.get(FIRST, "")
        for index, (attribute, text) in enumerate(zip(self.attributes, texts, strict=True)):
            if text != attribute.kind.blank[0]:
                self.values[index] = (text,)
                self.sources[index] = sources.get(attribute.name, first)

    def offer(self, values: Sequence[Value], name: str) -> None:
        """Take into account what the file `name` says."""
        for index, value in enumerate(values):
            attribute = self.attributes[index]
            if value[0] == attribute.kind.blank[0]:
                continue
            shown, source = self.values[index], self.sources[index]
            if not source:
                self._show(index, value, name)
                continue
            agrees = shown[0] == value[0]
            if name < source:
                self._show(index, value, name)
            elif agrees:
                continue
            if attribute.compared:
                self._dispute(index, str(shown[0]), source)
                self._dispute(index, str(value[0]), name)

    def _show(self, index: int, value: Value, name: str) -> None:
        self.values[index] = value
        self.sources[index] = name
        self.changed.add(index)

    def _dispute(self, index: int, text: str, name: str) -> None:
        texts = self.disputed.setdefault(index, {})
        if text not in texts or name < texts[text]:
            texts[text] = name

    def packed_sources(self) -> dict[str, str]:
        """The same text for the same sources: nearly all attributes come from the first instance."""
        named = {a.name: source for a, source in zip(self.attributes, self.sources, strict=True) if source}
        if not named:
            return {}
        first = min(named.values())
        return {FIRST: first} | {key: source for key, source in sorted(named.items()) if source != first}


def combine(attribute: Attribute, known: Iterable[tuple[str, str]], limit: int) -> list[tuple[str, str]]:
    """Distinct values as (text, earliest file that says so), in order of reception, at most `limit` of them."""
    earliest: dict[str, tuple[str, str]] = {}
    for text, name in known:
        key = attribute.kind.comparable(text)
        if key not in earliest or name < earliest[key][1]:
            earliest[key] = (text, name)
    return sorted(earliest.values(), key=lambda value: value[1])[:limit]
