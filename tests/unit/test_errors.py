"""The tree of errors, as its docstring draws it."""

from decibus import errors
from decibus.errors import DecibusError


def test_every_error_has_a_place_in_the_tree() -> None:
    def below(kind: type[DecibusError]) -> set[type[DecibusError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    told = errors.__doc__ or ""
    for kind in below(DecibusError):
        if kind.__module__ == "decibus.errors":
            assert kind.__name__ in told
