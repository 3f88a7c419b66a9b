"""Deferred tensors: what was done to them is what would have been done to real ones."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")

from distexpand.running.deferred import Deferred, Identities, NotDeferrableError, leaves, make  # noqa: E402

WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "stack": lambda a, b: torch.stack([a, b], dim=1),
    "concatenate": lambda a, b: torch.cat((a, b), dim=0).contiguous(),
    "transpose and cast": lambda a, b: a.to(torch.float32).T + b.T.float(),
    "a part of many": lambda a, b: torch.cat([*a.chunk(2, dim=1), *b.split([1, 3], dim=1)], dim=1),
    "reshape": lambda a, b: a.view(2, 2, 4).permute(2, 0, 1).reshape(8, 2) * b.flatten()[0],
    "with a real one": lambda a, b: a + torch.ones(4) * 2 - b,
}


def _pair() -> Iterator[Any]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(2):
        yield torch.randn((4, 4), generator=generator, dtype=torch.bfloat16)


def _deferred(real: Any) -> Any:
    return Deferred(real.to("meta"), leaf=real)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_put_off_gives_what_would_have_been_done(way: str) -> None:
    first, second = _pair()
    expected = WAYS[way](first, second)
    put_off = WAYS[way](_deferred(first), _deferred(second))
    assert isinstance(put_off, Deferred)
    assert (put_off.shape, put_off.dtype) == (expected.shape, expected.dtype)
    made = make(put_off, lambda leaf: leaf)
    assert not isinstance(made, Deferred)
    assert torch.equal(made, expected)
    assert made.stride() == expected.stride()


def test_a_parameter_of_a_deferred_tensor_is_deferred_and_says_what_it_is_made_of() -> None:
    first, second = _pair()
    parameter = torch.nn.Parameter(torch.cat([_deferred(first), _deferred(second)]))
    assert isinstance(parameter, Deferred)
    assert parameter.requires_grad
    assert [id(leaf) for leaf in leaves(parameter)] == [id(first), id(second)]


def test_fresh_weights_in_its_likeness_are_real() -> None:
    first, _ = _pair()
    fresh = torch.zeros_like(_deferred(first))
    assert not isinstance(fresh, Deferred)
    assert torch.equal(fresh, torch.zeros_like(first))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.mul_(2),
        lambda tensor: tensor[0].fill_(1),
        lambda tensor: tensor.__setitem__(-1, 3.0),
        lambda tensor: tensor[0, 0].item(),
    ],
    ids=["in place", "a part in place", "an item", "a value"],
)
def test_what_cannot_be_put_off_is_refused(change: Callable[[Any], Any]) -> None:
    first, _ = _pair()
    with pytest.raises(NotDeferrableError):
        change(_deferred(first))


def test_tensors_made_alike_have_one_number_and_others_have_not() -> None:
    def leaf(name: str) -> Any:
        return Deferred(torch.empty((4, 4), device="meta"), leaf=name)

    identities = Identities()
    number = identities.number
    assert number(leaf("a")) == number(leaf("a")) != number(leaf("b"))
    assert number(torch.stack([leaf("a"), leaf("b")])) == number(torch.stack([leaf("a"), leaf("b")]))
    assert number(torch.stack([leaf("a"), leaf("b")])) != number(torch.stack([leaf("b"), leaf("a")]))
    assert number(torch.stack([leaf("a"), leaf("b")])) != number(torch.stack([leaf("a"), leaf("b")], dim=1))
    halves = [number(part) for part in leaf("a").chunk(2)]
    assert halves == [number(part) for part in leaf("a").chunk(2)]
    assert len({*halves, number(leaf("a"))}) == 3
    assert number(leaf("a") * 1) != number(leaf("a") * 1.0) != number(leaf("a") * True)
