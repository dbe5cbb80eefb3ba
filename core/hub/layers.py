"""The layers of a model as its weights' names tell them: a tree with shapes and parameter counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DEEPEST = 40  # parts of a name; what is deeper stays one part


@dataclass(frozen=True)
class Tensor:
    """One array of weights. `dtype` as safetensors names it: F32, BF16, I64, ..."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layer:
    """A part of a model.

    Attributes:
        name: the last part of its name; "0 … 11" where several that are alike stand beside each other.
        parameters: of all that is in it, and of all `count` that are alike.
        count: how many alike it stands for.
        tensor: what it is, where it is no part but an array.
    """

    name: str
    parameters: int
    count: int = 1
    tensor: Tensor | None = None
    children: tuple[Layer, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Layer]]:
        """The layer and all below it, each with its depth."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    @property
    def form(self) -> tuple[object, ...]:
        """What two layers that are alike have in common: everything but their own names."""
        array = self.tensor and (self.tensor.shape, self.tensor.dtype)
        return array, self.count, tuple((child.name, child.form) for child in self.children)


def tree(tensors: Iterable[Tensor], name: str = "model") -> Layer:
    """The tree of tensors by the dots in their names; numbered neighbours that are alike are one entry.

    >>> layer = tree([Tensor(f"block.{i}.weight", (2, 3), "F32") for i in range(12)])
    >>> [("  " * depth + part.name, part.parameters) for depth, part in layer.walk()]
    [('model', 72), ('  block', 72), ('    0 … 11', 72), ('      weight', 6)]
    """
    return _layer(name, [(tensor.name.split(".", DEEPEST), tensor) for tensor in tensors])


def _layer(name: str, parts: list[tuple[list[str], Tensor]]) -> Layer:
    groups: dict[str, list[tuple[list[str], Tensor]]] = {}
    for path, tensor in parts:
        groups.setdefault(path[0], []).append((path[1:], tensor))
    children = []
    for part, inner in groups.items():
        deeper = [(path, tensor) for path, tensor in inner if path]
        children += [Layer(part, tensor.parameters, tensor=tensor) for path, tensor in inner if not path]
        children += [_layer(part, deeper)] if deeper else []
    numbered = sorted((child for child in children if child.name.isdecimal()), key=lambda child: int(child.name))
    named = [child for child in children if not child.name.isdecimal()]
    return Layer(name, sum(child.parameters for child in children), children=(*named, *_merged(numbered)))


def _merged(numbered: list[Layer]) -> list[Layer]:
    """Runs of neighbours that are alike as one layer each; what is inside of it is that of one."""
    runs: list[list[Layer]] = []
    for layer in numbered:
        if runs and runs[-1][0].form == layer.form:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return [
        run[0]
        if len(run) == 1
        else Layer(
            f"{run[0].name} … {run[-1].name}", sum(layer.parameters for layer in run), len(run), run[0].tensor, run[0].children
        )
        for run in runs
    ]
