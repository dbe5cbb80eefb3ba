"""What is to be run. Its content is its name: the same experiment is the same run, wherever it is asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.methods import registry
from core.methods.base import Method, ParameterError

# What a paper's file calls an input that has another name here.
INPUT_KINDS = {"snapshot": "features", "predictions": "features", "against": "two-models"}


@dataclass(frozen=True)
class Spec:
    """An experiment, complete: nothing that changes its numbers is left out. Made by `make_spec`."""

    slug: str
    preset: str
    params: Mapping[str, Any]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    device: str
    source: str  # digest of the paper's file
    inputs: Mapping[str, str] = field(default_factory=dict)  # by kind, see make_spec
    overrides: tuple[tuple[str, str], ...] = ()  # what differs from the preset, for the command line

    @property
    def content(self) -> dict[str, Any]:
        """As kept in the store."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    @property
    def run(self) -> str:
        """The run's identity: a hash of everything that decides the numbers."""
        return identity(self.content)

    @property
    def command(self) -> str:
        """The command line that runs the same."""
        method = registry.declared(self.slug)
        words = ["python", "-m", "core", "run", self.slug, "--preset", self.preset]
        if self.seeds != method.preset(self.preset).seeds:
            words += ["--seeds", ",".join(map(str, self.seeds)) + ("," if len(self.seeds) == 1 else "")]
        if self.arms != method.with_needed(method.default_arms(self.preset)):
            words += ["--arms", ",".join(self.arms)]
        for name, value in self.overrides:
            words += ["--set", f"{name}={value}"]
        for kind, value in self.inputs.items():
            words += ["--input", f"{kind}={value}"]
        return shlex.join([*words, "--device", self.device])

    def cells(self) -> list[tuple[str, tuple[int, ...]]]:
        """(arm, seeds) of every cell: those that others come after first, then seed by seed."""
        method = registry.declared(self.slug)
        needed = {name for arm in self.arms for name in method.arm(arm).after}
        groups = [self.seeds] if method.batched else [(seed,) for seed in self.seeds]
        first = [(arm, group) for group in groups for arm in self.arms if arm in needed]
        return first + [(arm, group) for group in groups for arm in self.arms if arm not in needed]


def identity(content: Mapping[str, Any]) -> str:
    """The run of a spec's content, as it is kept in the store."""
    left_out = ("preset", "overrides") if content.get("inputs") else ("preset", "overrides", "inputs")
    deciding = {key: value for key, value in content.items() if key not in left_out}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]


def make_spec(
    slug: str,
    preset: str = "quick",
    params: Mapping[str, Any] | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    device: str = "cpu",
    inputs: Mapping[str, str] | None = None,
) -> Spec:
    """A checked spec.

    Args:
        params: what differs from the preset; values may be text.
        arms: names; those that they come after are added.
        seeds: the seeds themselves, or how many: the preset's own first, then the numbers that follow.
        inputs: what it works on instead of its own data: {"snapshot": a run}, also with a second one
            as {"snapshot": a run, "against": another}, {"weights": "owner/name@revision"},
            {"upload": a digest}, or {"predictions": "run/arm/seed/step/name"} that any run recorded, as features.

    Raises:
        UnknownMethod, ParameterError: with the sentence to show.
    """
    method = registry.declared(slug)
    values = method.make_params(preset, params)
    for kind in inputs or {}:
        if INPUT_KINDS.get(kind, kind) not in method.inputs:
            raise ParameterError(f"{slug} takes no {kind}; it takes: {', '.join(method.inputs)}.")
    chosen = method.with_needed(arms or method.default_arms(preset))
    specs = method.params
    return Spec(
        slug=slug,
        preset=preset,
        params={name: _plain(value) for name, value in dataclasses.asdict(values).items()},
        arms=chosen,
        seeds=_seeds(method, preset, seeds),
        device=device,
        source=hashlib.sha256(Path(method.source).read_bytes()).hexdigest()[:12],
        inputs=dict(inputs or {}),
        overrides=tuple((name, _text(specs[name].parse(value))) for name, value in (params or {}).items()),
    )


def _seeds(method: Method, preset: str, seeds: int | Sequence[int] | None) -> tuple[int, ...]:
    own = method.preset(preset).seeds
    if seeds is None:
        return own
    if isinstance(seeds, int):
        if not 1 <= seeds <= 1000:
            raise ParameterError(f"seeds is {seeds}; allowed: a number of seeds from 1 to 1000.")
        more = range(max(own) + 1, max(own) + 1 + max(0, seeds - len(own)))
        return (*own[:seeds], *more)
    if not seeds or len(set(seeds)) != len(seeds) or not all(0 <= seed < 2**31 for seed in seeds):
        raise ParameterError(f"seeds is {list(seeds)}; allowed: different whole numbers from 0 to {2**31 - 1}.")
    return tuple(int(seed) for seed in seeds)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
