"""The small models that ship with the app, made by `python -m core starters` from data that ship with it too.

Each is a usual model of transformers, trained from scratch with fixed seeds on one thread, and written as anybody publishes one:
safetensors, configuration, processor or tokeniser, a card, and provenance.json with what it was made from and how good it is on
held-out data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.training import adam, batch_order, cosine, evaluating, generator, train, warm_up

SEED = 0
LICENCE = "apache-2.0"


@dataclass(frozen=True)
class Recipe:
    """How one starter is made. `make` trains it, writes model and processor into a folder, and returns the accuracy on `split`."""

    name: str
    title: str
    task: str
    data: str
    trained_on: str
    split: str
    measured: str
    text: str
    make: Callable[[Path], float]


def write(recipe: Recipe, folder: Path, command: str, commit: str) -> dict[str, Any]:
    """Trains a starter into folder/<name>; returns what its provenance.json says."""
    from safetensors import safe_open
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    path = folder / recipe.name
    path.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for numbers that repeat
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        accuracy = recipe.make(path)
    torch.set_num_threads(threads)
    with safe_open(path / "model.safetensors", "pt") as weights:
        parameters = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118 - it is no dict
    said = {name: value for name, value in asdict(recipe).items() if name not in ("name", "make", "text")} | {
        "seed": SEED,
        "accuracy": round(accuracy, 4),
        "parameters": parameters,
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "commit": commit,
        "licence": LICENCE,
    }
    (path / "provenance.json").write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (path / "README.md").write_text(card(recipe, said), encoding="utf-8")
    return said


def card(recipe: Recipe, said: dict[str, Any]) -> str:
    """README.md as the Hub wants it."""
    return f"""---
license: {LICENCE}
library_name: transformers
pipeline_tag: {recipe.task}
---

# {recipe.title}

{recipe.text}

| | |
| --- | --- |
| data | {recipe.trained_on} |
| {recipe.measured} | {100 * said["accuracy"]:.1f}% on {recipe.split} |
| parameters | {said["parameters"]:,} |
| seed | {said["seed"]} |
| made by | `{said["command"]}`, {said["date"]} |

It is a small model to try an instrument with, trained in minutes on one CPU thread. It is good for nothing else.
"""


# --- images -------------------------------------------------------------------------------------------------------


def mnist_resnet(path: Path) -> float:
    """A ResNet of three stages on MNIST; training images are moved by up to two pixels."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic", **named(list("0123456789"))
    )  # fmt: skip
    processor = ConvNextImageProcessor(size={"shortest_edge": 28}, crop_pct=1.0, **STANDARDISED)
    return image_classifier(path, ResNetForImageClassification(config), processor, "mnist-5k", steps=900, rate=3e-3, moved=2)


def digits_vit(path: Path) -> float:
    """A vision transformer on digits of 8 x 8 pixels, patches of 2 x 2."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        image_size=8, patch_size=2, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96,
        hidden_dropout_prob=0.1, **named(list("0123456789")),
    )  # fmt: skip
    processor = ViTImageProcessor(size={"height": 8, "width": 8}, **STANDARDISED)
    return image_classifier(path, ViTForImageClassification(config), processor, "digits-8", steps=2500, rate=2e-3, moved=1)


STANDARDISED: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def named(classes: Sequence[str]) -> dict[str, Any]:
    """The names of classes as configurations have them."""
    return {"id2label": dict(enumerate(classes)), "label2id": {name: number for number, name in enumerate(classes)}}


def image_classifier(path: Path, model: Any, processor: Any, data: str, steps: int, rate: float, moved: int) -> float:
    """Trains on a bundled set's train part, images moved by up to `moved` pixels; returns the accuracy on its test part."""
    from core.data import load

    split = load(data)
    draw = generator(f"starter {data}", SEED)
    order = batch_order(len(split.train), 64, steps, draw)

    def inputs(pixels: Tensor) -> Tensor:
        """What the processor makes of an image of this very size."""
        return (pixels.expand(-1, 3, -1, -1) - 0.5) / 0.5

    def loss(step: int) -> Tensor:
        batch = split.train.take(order[step])
        down, right = torch.randint(-moved, moved + 1, (2,), generator=draw).tolist()
        return F.cross_entropy(model(pixel_values=inputs(moved_by(batch.pixels, down, right))).logits, batch.labels)

    model.train()
    train(loss, adam(model.parameters(), rate), steps, schedule=warm_up(50, cosine(steps)))
    with evaluating(model):
        right = model(pixel_values=inputs(split.test.pixels)).logits.argmax(dim=1) == split.test.labels
    model.eval().save_pretrained(path)
    processor.save_pretrained(path)
    return right.double().mean().item()


def moved_by(pixels: Tensor, down: int, right: int) -> Tensor:
    """Pixels (n, channels, height, width) moved; what comes in is black.

    >>> moved_by(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 1, 0).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    height, width = pixels.shape[-2:]
    reach = max(abs(down), abs(right))
    padded = F.pad(pixels, (reach,) * 4)
    return padded[..., reach - down : reach - down + height, reach - right : reach - right + width]


# --- texts --------------------------------------------------------------------------------------------------------


def names_bert(path: Path) -> float:
    """A BERT that reads characters and says which language a name is in."""
    from tokenizers import processors
    from transformers import BertConfig, BertForSequenceClassification

    from core.data.items import Items, items
    from core.data.names import LONGEST

    names = {split: items("names-12", n=100_000, split=split) for split in ("train", "test")}
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    characters = sorted({character for name in names["train"].texts for character in name})
    tokenizer = by_character([*special, *characters], unknown="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    config = BertConfig(
        vocab_size=len(special) + len(characters), hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=64, pad_token_id=0, **named(names["train"].classes),
    )  # fmt: skip
    model = BertForSequenceClassification(config)

    def encoded(part: Items) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(len(part), LONGEST + 2, dtype=torch.long)
        for row, name in enumerate(part.texts):
            tokens = tokenizer.encode(name).ids
            ids[row, : len(tokens)] = torch.tensor(tokens)
        return ids, torch.as_tensor(part.labels)

    ids, labels = encoded(names["train"])
    steps = 2500
    order = batch_order(len(ids), 64, steps, generator("starter names", SEED))

    def loss(step: int) -> Tensor:
        batch = ids[order[step]]
        batch = batch[:, : int((batch > 0).sum(dim=1).max())]
        return F.cross_entropy(model(input_ids=batch, attention_mask=(batch > 0).long()).logits, labels[order[step]])

    model.train()
    train(loss, adam(model.parameters(), 1e-3), steps, schedule=warm_up(100, cosine(steps)), clip=1.0)
    ids, labels = encoded(names["test"])
    with evaluating(model):
        right = model(input_ids=ids, attention_mask=(ids > 0).long()).logits.argmax(dim=1) == labels
    model.eval().save_pretrained(path)
    save_tokenizer(tokenizer, path, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")  # noqa: S106
    return right.double().mean().item()


def prose_llama(path: Path) -> float:
    """A Llama that reads characters of Python's help texts and says which comes next."""
    from tokenizers import normalizers
    from transformers import LlamaConfig, LlamaForCausalLM

    from core.data.text import TYPOGRAPHY, evenly_spaced, passes, prose

    corpus, context = prose(), 128
    tokenizer = by_character(["\n", *map(chr, range(32, 127))], unknown="?")  # the same numbers as core.data.text.encode
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(sign, plain) for sign, plain in TYPOGRAPHY.items()])
    config = LlamaConfig(
        vocab_size=corpus.vocabulary, hidden_size=80, intermediate_size=208, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, initializer_range=0.05,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    steps = 1300
    batches = passes(corpus.train, context, 16, generator("starter prose", SEED))

    def loss(step: int) -> Tensor:
        inputs, targets = next(batches)
        return F.cross_entropy(model(input_ids=inputs, use_cache=False).logits.flatten(0, 1), targets.flatten())

    model.train()
    train(loss, adam(model.parameters(), 4e-3), steps, schedule=warm_up(100, cosine(steps)), clip=1.0)
    inputs, targets = evenly_spaced(corpus.test, context, 300)
    with evaluating(model):
        right = model(input_ids=inputs, use_cache=False).logits.argmax(dim=2) == targets
    model.eval().save_pretrained(path)
    save_tokenizer(tokenizer, path, unk_token="?")  # noqa: S106
    return right.double().mean().item()


def by_character(tokens: Sequence[str], unknown: str) -> Any:
    """A tokeniser with a token a character, numbered in their order."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def save_tokenizer(tokenizer: Any, path: Path, **special: str) -> None:
    """Writes it as transformers reads it."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special).save_pretrained(path)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mnist-resnet",
            title="ResNet on MNIST",
            task="image-classification",
            data="mnist-5k",
            trained_on="the 4,000 training images of mnist-5k",
            split="its 1,000 test images",
            measured="accuracy",
            text="A small ResNet that tells handwritten digits of 28 x 28 pixels apart.",
            make=mnist_resnet,
        ),
        Recipe(
            name="digits-vit",
            title="Vision transformer on digits",
            task="image-classification",
            data="digits-8",
            trained_on="the 1,297 training images of digits-8",
            split="its 500 test images",
            measured="accuracy",
            text="A small vision transformer that tells handwritten digits of 8 x 8 pixels apart.",
            make=digits_vit,
        ),
        Recipe(
            name="names-bert",
            title="BERT on names",
            task="text-classification",
            data="names-12",
            trained_on="the 8,347 training names of names-12, from CLDR (the package babel)",
            split="its 466 test names",
            measured="accuracy",
            text="A small BERT that reads characters and says which of twelve languages the name of a country, a language, a "
            "currency or a script is in. Names that several languages share are left out.",
            make=names_bert,
        ),
        Recipe(
            name="prose-llama",
            title="Llama on prose",
            task="text-generation",
            data="prose",
            trained_on="417,792 characters of Python's help texts (CPython)",
            split="38,400 characters of other passages",
            measured="next characters predicted right",
            text="A small Llama that reads characters of English prose and predicts the next one.",
            make=prose_llama,
        ),
    )
}
