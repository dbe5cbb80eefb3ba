"""The Hugging Face Hub: finding models, looking at them without downloading their weights, and fetching them safely.

    search("vit", task="image-classification")      what there is
    inspect("owner/name", "main")                    one model: files, licence, layers with their shapes, its card
    fetch("owner/name", "main", progress)            its files into the Hub's own cache; goes on where it was cut
    folder("owner/name", "main")                     where they are, or None
    starters()                                       small models that ship with the app and need no network

Only safetensors and plain configuration and tokeniser files are ever fetched: no pickle, no code. Whatever goes wrong is a HubError
with the sentence to show. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are read by huggingface_hub, when it is first needed;
what it would tell the Hub of this machine stays off unless HF_HUB_DISABLE_TELEMETRY says otherwise.
"""

import os

from core.hub.bundled import Starter, starters
from core.hub.download import fetch, held
from core.hub.failures import HubError, explaining
from core.hub.layers import Layer, Tensor, tree
from core.hub.models import SORTS, TASKS, File, Found, ModelInfo, fits, folder, inspect, search

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

__all__ = [
    "SORTS",
    "TASKS",
    "File",
    "Found",
    "HubError",
    "Layer",
    "ModelInfo",
    "Starter",
    "Tensor",
    "explaining",
    "fetch",
    "fits",
    "folder",
    "held",
    "inspect",
    "search",
    "starters",
    "tree",
]
