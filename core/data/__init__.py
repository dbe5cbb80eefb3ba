"""Data sets: one way to name and load each.

    load("mnist-5k")            a bundled set by name, or
    load("uoft-cs/cifar10")     a data set of the Hugging Face Hub by id: its splits train and test

gives a Split of Images. core/data/mnist.py and core/data/digits.py define the bundled sets and the variants that several papers
share, each a function whose docstring gives shapes and splits; core/data/hub.py reads the Hub; core/data/images.py holds what can
be done with any of them: shuffle, average 2 x 2, standardise, put side by side, make long-tailed. core/data/items.py gives the
items of any data set to look at, and core/data/uploads.py takes in a person's own.

What is loaded is kept for the life of the process and shared: nobody writes into these tensors. Nothing heavy is imported before a
data set is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.images import Images as Images
    from core.data.images import Split as Split

__all__ = ["BUNDLED", "Images", "Split", "UnknownData", "load"]

BUNDLED = {  # name, and the module of core.data with the function that loads it
    "mnist-5k": ("mnist", "mnist_by_class"),
    "mnist-14": ("mnist", "mnist14"),
    "mnist-14-by-class": ("mnist", "mnist14_by_class"),
    "digits-8": ("digits", "digits8"),
    "digits-8-standardised": ("digits", "digits8_standardised"),
}


class UnknownData(ValueError):
    """No data set of that name; the message says which names there are."""


def load(name: str) -> Split:
    """A data set by name: a key of BUNDLED, or the id of a Hub data set that has the splits train and test.

    Raises:
        UnknownData: neither a bundled name nor of the form owner/name.
        hub.HubDataError: the Hub's data set cannot be had; the message says why and what to do.
    """
    if name in BUNDLED:
        module, function = BUNDLED[name]
        return getattr(import_module(f"core.data.{module}"), function)()
    if name.count("/") == 1:
        from core.data import hub
        from core.data.images import Split

        return Split(hub.images(name, "train"), hub.images(name, "test"))
    raise UnknownData(
        f"There is no data set {name!r}; bundled are {', '.join(BUNDLED)}; a data set of the Hub is named owner/name."
    )


def __getattr__(name: str) -> Any:
    if name in ("Images", "Split"):
        return getattr(import_module("core.data.images"), name)
    raise AttributeError(f"core.data has no {name!r}.")
