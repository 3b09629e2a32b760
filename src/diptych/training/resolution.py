"""What a recipe's interpolations come to: within bounds, and kept as written where they look at the environment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from diptych.errors import UserError

_MOST = 2_000  # resolutions of one composed recipe; those that ship need about 130
_LONGEST = 100_000  # letters of one value
_DEEPEST = 50  # interpolations of interpolations
_IN_TRANSLATORS = {"domains", "experiment"}


class Resolution:
    """Counts what is resolved of a recipe, and notices what looks at the environment while it is.

    A few lines can double each other's text, or number, again and again. What a text means can only be told by
    resolving it: a resolver's name may itself be put together.
    """

    def __init__(self) -> None:
        self.left, self.depth, self.looked = _MOST, 0, False

    def begin(self) -> None:
        """Count anew, for another recipe."""
        self.left = _MOST

    def bounded(self, resolve: Callable[..., Any]) -> Callable[..., Any]:
        """Return OmegaConf's way to resolve one interpolation, which raises `UserError` beyond the bounds."""

        def resolve_bounded(container: Any, *arguments: Any, **options: Any) -> Any:
            self._spend()
            self.depth += 1
            try:
                self._require(self.depth <= _DEEPEST)
                value = resolve(container, *arguments, **options)
            finally:
                self.depth -= 1
            self._require(not isinstance(value, str) or len(value) <= _LONGEST)
            return value

        return resolve_bounded

    def noticed(self, look: Callable[..., Any]) -> Callable[..., Any]:
        """Return a resolver whose every call is noticed."""

        def look_noticed(*arguments: Any) -> Any:
            self.looked = True
            return look(*arguments)

        return look_noticed

    def resolve(self, config: Any, raw: Any) -> tuple[Any, Any]:
        """Return a configuration as plain data, resolved; and once more, with what follows from the environment `raw`.

        So a secret that is named in `${oc.env:NAME}`, directly or by way of another key, gets into no file.
        """
        pairs = {key: self._resolve_item(config, key, value) for key, value in _list_items(raw)}
        if isinstance(raw, Mapping):
            return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}
        return [pair[0] for pair in pairs.values()], [pair[1] for pair in pairs.values()]

    def refuse_secrets(self, config: Any, raw: Any, place: str = "") -> None:
        """Raise `UserError` where what is written into translators follows from the environment."""
        for key, value in _list_items(raw):
            inner = f"{place}{key}"
            if inner == "name" or key in _IN_TRANSLATORS:
                self.looked = False
                self._expand(config[key])
                if self.looked:
                    raise UserError(f"{inner} = {value} is written into translators: say it by itself")
            elif isinstance(value, Mapping):
                self.refuse_secrets(config[key], value, f"{inner}.")

    def _resolve_item(self, config: Any, key: Any, raw: Any) -> tuple[Any, Any]:
        if isinstance(raw, (Mapping, list)):
            return self.resolve(config[key], raw)
        if not (isinstance(raw, str) and "${" in raw):
            return raw, raw
        self.looked = False
        value = self._expand(config[key])
        return value, raw if self.looked else value

    def _expand(self, value: Any) -> Any:
        """Return as plain data what an interpolation has given, other interpolations in it resolved as well."""
        self._spend()
        if isinstance(value, Mapping):
            return {key: self._expand(value[key]) for key in value}
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return [self._expand(value[index]) for index in range(len(value))]
        return value

    def _spend(self) -> None:
        self.left -= 1
        self._require(self.left >= 0)

    def _require(self, bounded: bool) -> None:
        if not bounded:
            raise UserError(
                "the recipe's interpolations (${…}) refer to each other without bound: write out what they say"
            )


def _list_items(raw: Any) -> Iterator[tuple[Any, Any]]:
    return iter(raw.items()) if isinstance(raw, Mapping) else enumerate(raw)
