"""The controls of a paper, made from its presets and parameters: filled from a preset or from a run, and read as values.

A control gets its value as its default, and a new name whenever it is filled anew. A value that is put into the session instead
reaches the browser only once, and is lost where a click interrupts the page at that moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core.methods.base import Method, ParameterError, ParamSpec


@dataclass(frozen=True)
class Filling:
    """What the controls were last filled with. `arrival` names the preset's control, which refills the others and stays."""

    number: int
    arrival: int
    preset: str
    values: Mapping[str, Any]  # of the other controls, by name, as the controls hold them
    inputs: Mapping[str, str]  # what the run works on instead of the paper's own data; no control sets it


def fill_from_run(method: Method, row: Mapping[str, Any]) -> None:
    """Sets every control to what a run was asked for."""
    spec = row["spec"]
    given = spec.get("inputs") or {}
    _fill(method, row["preset"], spec["params"], spec["arms"], len(spec["seeds"]), given, arrival=True)


def fill_from_preset(method: Method, preset: str, given: Mapping[str, str]) -> None:
    """Sets every control to what a preset says, to work on the given inputs, or on the paper's own data where there are none."""
    _fill_from_preset(method, preset, given, arrival=True)


def inputs(method: Method) -> dict[str, str]:
    """What the run works on instead of the paper's own data: that of the run which the controls were filled from."""
    return dict(_filling(method).inputs)


def leave_inputs(method: Method) -> None:
    """Goes back to the paper's own data; every control stays where it is."""
    filling = _filling(method)
    st.session_state[f"{method.slug}/filling"] = replace(filling, inputs={})


def are_shown(method: Method) -> bool:
    """Whether the controls were on this visitor's page just before."""
    filling = st.session_state.get(f"{method.slug}/filling")
    return filling is not None and _preset_key(method) in st.session_state


def positions(method: Method) -> dict[str, Any]:
    """Where the controls stand."""
    filling = _filling(method)
    values = {name: st.session_state.get(_key(method, name), value) for name, value in filling.values.items()}
    return {"preset": st.session_state.get(_preset_key(method), filling.preset), **values, "inputs": filling.inputs}


def choose_preset(method: Method, label: Callable[[str], str]) -> str:
    """The presets beside each other; choosing one refills the other controls."""
    return st.segmented_control(
        "Preset",
        list(method.presets),
        default=_filling(method).preset,
        format_func=label,
        required=True,
        key=_preset_key(method),
        on_change=_refill,
        args=(method,),
        label_visibility="collapsed",
        wrap=True,
    )


def choose_settings(method: Method) -> tuple[dict[str, Any], list[str], int]:
    """The controls that most visitors leave alone; returns the parameters, unchecked, the arms, and how many seeds."""
    titles = {arm.name: arm.title for arm in method.arms}
    with st.expander("Settings", icon=":material/tune:"):
        options = _options(method, "arms")
        arms = st.pills(
            "Arms", list(titles), default=options.pop("value"), selection_mode="multi", format_func=titles.__getitem__, **options
        )
        st.caption("  \n".join(f"**{arm.title}**: {arm.help}" for arm in method.arms))
        with st.grid("auto", min_column_width=220):
            seeds = st.number_input(
                "Seeds", 1, 1000, help="How many; arms share each seed's data and start.", **_options(method, "seeds")
            )
            params = {name: _control(method, spec) for name, spec in method.params.items()}
        st.button("Back to the preset", icon=":material/undo:", on_click=_refill, args=(method,))
    return params, arms, int(seeds)


def _control(method: Method, spec: ParamSpec) -> Any:
    """The widget of one parameter; returns its value."""
    label = spec.name.replace("_", " ").capitalize() + (f" ({spec.unit})" if spec.unit else "")
    options = _options(method, spec.name) | {"help": f"{spec.help} Allowed: {spec.allowed}."}
    if spec.many and spec.choices:
        return st.multiselect(label, spec.choices, default=options.pop("value"), **options)
    if spec.many or (spec.kind is str and not spec.choices):
        return st.text_input(label, **options)
    if spec.kind is bool:
        return st.toggle(label, **options)
    if spec.choices:
        return st.selectbox(label, spec.choices, index=spec.choices.index(options.pop("value")), **options)
    return st.number_input(
        label,
        min_value=None if spec.low is None else spec.kind(spec.low),
        max_value=None if spec.high is None else spec.kind(spec.high),
        step=1 if spec.kind is int else _step(spec.default),
        format="%d" if spec.kind is int else "%g",
        **options,
    )


def _options(method: Method, name: str) -> dict[str, Any]:
    return {"key": _key(method, name), "value": _filling(method).values[name]}


def _step(default: float) -> float:
    """One in the second digit of the default."""
    return 10.0 ** (math.floor(math.log10(abs(default))) - 1) if default else 0.1


def _refill(method: Method) -> None:
    _fill_from_preset(method, st.session_state[_preset_key(method)], inputs(method), arrival=False)


def _fill_from_preset(method: Method, preset: str, given: Mapping[str, str], arrival: bool) -> None:
    params = vars(method.make_params(preset))
    _fill(method, preset, params, method.default_arms(preset), len(method.preset(preset).seeds), given, arrival)


def _fill(
    method: Method,
    preset: str,
    params: Mapping[str, Any],
    arms: Sequence[str],
    seeds: int,
    given: Mapping[str, str],
    arrival: bool,
) -> None:
    values: dict[str, Any] = {"arms": [arm.name for arm in method.arms if arm.name in arms], "seeds": seeds}
    for name, spec in method.params.items():
        try:
            value = spec.parse(params[name])
        except (KeyError, ParameterError):  # a run of an older version of the paper's file
            value = spec.default
        values[name] = _text(value) if spec.many and not spec.choices else list(value) if spec.many else value
    number = st.session_state.get("fillings", 0) + 1
    st.session_state["fillings"] = number
    filling = Filling(number, number if arrival else _filling(method).arrival, preset, values, given)
    st.session_state[f"{method.slug}/filling"] = filling


def _text(value: Sequence[Any]) -> str:
    """A tuple as a person types it."""
    return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)


def _filling(method: Method) -> Filling:
    return st.session_state[f"{method.slug}/filling"]


def _preset_key(method: Method) -> str:
    return f"{method.slug}/{_filling(method).arrival}/preset"


def _key(method: Method, name: str) -> str:
    return f"{method.slug}/{_filling(method).number}/{name}"
