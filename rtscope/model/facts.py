"""Frozen data classes that cost nothing at start.

`dataclasses` compiles six methods for every class while the program starts, and imports `inspect`:
33 ms for the model's twenty classes, of 130 for a whole listing (measured, Python 3.11). A `fact`
has the same meaning (frozen, slots, keyword-only, compared by value) and compiles its `__init__` at
the first call. `dataclasses.fields`, `replace` and `is_dataclass` work on facts.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


class FrozenFactError(AttributeError):
    """A fact was assigned to."""


class Field:
    """How a field gets its value when the caller gives none."""

    __slots__ = ("factory",)

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is made anew for every instance."""
    made: Any = Field(default_factory)
    return made  # type: ignore[no-any-return]  # what the class body sees is not what it becomes


@overload
def fact(cls: type[T], /) -> type[T]: ...
@overload
def fact(*, eq: bool = True, order: bool = False) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def fact(cls: type[T] | None = None, /, *, eq: bool = True, order: bool = False) -> Any:
    """Makes a frozen, keyword-only class with slots out of annotations and defaults."""
    if cls is None:
        return lambda c: _build(c, eq=eq, order=order)
    return _build(cls, eq=eq, order=order)


def field_names(cls: type) -> tuple[str, ...]:
    """The names of a fact's fields, in order."""
    names: tuple[str, ...] = cls.__match_args__  # type: ignore[attr-defined]  # set by fact()
    return names


def replace(instance: T, /, **changes: Any) -> T:
    """A copy with some fields changed; unknown names are a TypeError, as in a call."""
    cls = type(instance)
    for name in cls.__match_args__:  # type: ignore[attr-defined]  # set by fact()
        if name not in changes:
            changes[name] = getattr(instance, name)
    return cls(**changes)


def _build(cls: type, *, eq: bool, order: bool) -> type:
    names = tuple(getattr(cls, "__annotations__", ()))
    defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    body = {
        name: value
        for name, value in cls.__dict__.items()
        if name not in defaults and name not in ("__dict__", "__weakref__")
    }
    body["__slots__"] = names
    body["__match_args__"] = names
    body["__qualname__"] = cls.__qualname__
    body["__setattr__"] = _refuse_set
    body["__delattr__"] = _refuse_delete
    body["__repr__"] = _repr
    body["__reduce__"] = _reduce
    body["_fact_defaults"] = defaults
    body["_fact_values"] = staticmethod(_getter_of(names))
    body["__dataclass_fields__"] = _DataclassFields()
    if eq:
        body["__eq__"] = _eq
        body["__hash__"] = _hash
    if order:
        values = _getter_of(names)
        body["__lt__"] = lambda a, b: values(a) < values(b)
        body["__le__"] = lambda a, b: values(a) <= values(b)
        body["__gt__"] = lambda a, b: values(a) > values(b)
        body["__ge__"] = lambda a, b: values(a) >= values(b)
    made = type(cls)(cls.__name__, cls.__bases__, body)

    def compile_and_call(self: Any, **values: Any) -> None:
        made.__init__ = _compile_init(made, names, defaults)  # type: ignore[misc]  # replaced once
        made.__init__(self, **values)  # type: ignore[misc]  # the compiled one

    made.__init__ = compile_and_call  # type: ignore[misc]  # replaced at the first call
    return made


def _compile_init(
    cls: type, names: tuple[str, ...], defaults: Mapping[str, Any]
) -> Callable[..., None]:
    scope: dict[str, Any] = {}
    parameters = []
    lines = []
    for name in names:
        scope[f"_set_{name}"] = cls.__dict__[name].__set__
        value = name
        if name not in defaults:
            parameters.append(name)
        elif isinstance(defaults[name], Field):
            scope[f"_make_{name}"] = defaults[name].factory
            scope["_MISSING"] = _MISSING
            parameters.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        else:
            scope[f"_default_{name}"] = defaults[name]
            parameters.append(f"{name}=_default_{name}")
        lines.append(f"    _set_{name}(self, {value})")
    # Names come from the class body of this package, never from data.
    source = f"def __init__(self, *, {', '.join(parameters)}):\n" + "\n".join(lines)
    exec(source, scope)
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


class _Missing:
    __slots__ = ()


_MISSING = _Missing()


def _getter_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """All values of an instance; facts are keys of most dictionaries, so it has to be quick."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _eq(self: Any, other: object) -> Any:
    values = self._fact_values
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self is other or values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(self._fact_values(self))


def _repr(self: Any) -> str:
    inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__qualname__}({inside})"


def _rebuild(cls: type, values: dict[str, Any]) -> Any:
    return cls(**values)


def _reduce(self: Any) -> tuple[Any, ...]:
    values = {name: getattr(self, name) for name in self.__match_args__}
    return (_rebuild, (self.__class__, values))


def _refuse_set(self: Any, name: str, value: Any) -> None:
    raise FrozenFactError(f"cannot assign to {name} of a {self.__class__.__name__}")


def _refuse_delete(self: Any, name: str) -> None:
    raise FrozenFactError(f"cannot delete {name} of a {self.__class__.__name__}")


class _DataclassFields:
    """What `dataclasses` looks for, made when it looks."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[str, Any] | None = None

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        if self._made is None:
            self._made = dict(_dataclass_fields(owner))
        return self._made


def _dataclass_fields(owner: Any) -> Iterator[tuple[str, Any]]:
    import dataclasses

    annotations = owner.__annotations__
    for name in owner.__match_args__:
        default = owner._fact_defaults.get(name, dataclasses.MISSING)
        if isinstance(default, Field):
            made = dataclasses.field(default_factory=default.factory, kw_only=True)
        else:
            made = dataclasses.field(default=default, kw_only=True)
        made.name = name
        made.type = annotations[name]
        made._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # as dataclass() does
        yield name, made
