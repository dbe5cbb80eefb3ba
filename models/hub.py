"""Models of the Hugging Face Hub with one face, whatever their architecture: preprocess, features, logits.

    model = load("google/vit-base-patch16-224@<commit>")        from the Hub's cache on this machine, or
    model = load("starter/mnist-resnet")                        one that ships with the app
    batch = model.preprocess(images)                            a list of PIL images, of texts, or of passages
    features, logits = model.features_and_logits(batch, layer)  (n, d), and (n, outputs) or None, in one pass

Features are the output of a layer, a vector an item: maps of convolutions are averaged over their places; of an image's tokens the
class token is taken where there is one, else their mean; a text's tokens are averaged, padding left out. The layer "" is what the
model itself would go on with: the input of a classifier's last linear layer, a sentence encoder's own embedding, the state that a
language model predicts the next token from, else the pooled output.

Only safetensors, configuration and tokeniser files are read; no code of a model's ever runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from core.hub import HubError, folder, starters
from core.hub.models import HEAD_OF

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_TEXT = 512  # tokens of a text that are read
CONTEXT = 256  # tokens of a passage of a language model
FIRST_PLACE = 16  # tokens that a language model has read, at least, before it is asked; half of a shorter passage
SHIFTED_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text", "xlm-roberta-xl")
LOADERS = {
    "image-classification": "AutoModelForImageClassification",
    "image-feature-extraction": "AutoModel",
    "zero-shot-image-classification": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
    "sentence-similarity": "AutoModel",
    "feature-extraction": "AutoModel",
    "text-generation": "AutoModelForCausalLM",
}
TOWERS = {"clip": "CLIPVisionModelWithProjection", "siglip": "SiglipVisionModel", "siglip2": "Siglip2VisionModel"}
CLASS_TOKENS = ("cls_token", "cls_tokens", "class_embedding")


@dataclass(frozen=True)
class Passage:
    """Tokens of a text, and the places among them whose next token is asked for: what a language model's items lie in."""

    tokens: tuple[int, ...]
    places: tuple[int, ...]
    source: int = 0  # which text it is of

    @property
    def targets(self) -> tuple[int, ...]:
        """The next token of each place."""
        return tuple(self.tokens[place + 1] for place in self.places)


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of a model.

    Attributes:
        inputs: by the names that the model's forward has.
        places: (n, 2) row and column of each item of a language model; None elsewhere, where a row is an item.
    """

    inputs: dict[str, Tensor]
    places: Tensor | None = None

    def __len__(self) -> int:
        """How many items."""
        return len(next(iter(self.inputs.values()))) if self.places is None else len(self.places)

    @property
    def mask(self) -> Tensor | None:
        """(rows, tokens), 1 where a text has a token; None of images."""
        return self.inputs.get("attention_mask")

    def to(self, device: str) -> Batch:
        places = None if self.places is None else self.places.to(device)
        return Batch({name: value.to(device) for name, value in self.inputs.items()}, places)


@dataclass(eq=False)
class HubModel:
    """A model with what is needed to use it. Made by `load`.

    Attributes:
        name: the reference that it was loaded by.
        task: a key of core.hub.TASKS.
        module: in 32 bits, in evaluation mode.
        layers: names of its blocks in the order of the pass; features can also be taken of any other module by its name.
        outputs: names of the columns of the logits; empty where the model gives none, or a token a column.
    """

    name: str
    task: str
    module: nn.Module
    layers: tuple[str, ...]
    outputs: tuple[str, ...]
    processor: Any = field(repr=False)
    head: nn.Module | None = field(repr=False, default=None)  # the layer whose input the features of "" are
    embed: Callable[[Tensor, Tensor], Tensor] | None = field(repr=False, default=None)  # of a sentence encoder's tokens and mask
    longest: int = LONGEST_TEXT
    pools: bool = True  # whether the model's own pooler has weights

    @property
    def kind(self) -> str:
        """What its items are: "images", "text", or "passages" of a language model."""
        if self.task == "text-generation":
            return "passages"
        return "images" if "image" in self.task else "text"

    @property
    def device(self) -> str:
        return str(next(self.module.parameters()).device)

    def to(self, device: str) -> HubModel:
        """Moves it; returns itself."""
        self.module.to(device)
        return self

    # --- items to inputs --------------------------------------------------------------------------------------------

    def preprocess(self, items: Sequence[Any]) -> Batch:
        """Inputs of PIL images, of texts, or of passages, as the model wants them, on its device."""
        if self.kind == "images":
            batch = Batch({"pixel_values": self._pixels(items)})
        elif self.kind == "passages":
            batch = self._of_passages(items)
        else:
            batch = self._padded(self._tokens(items))
        return batch.to(self.device)

    def passages(self, texts: Sequence[str], n: int, seed: int = 0) -> list[Passage]:
        """n places in texts, spread as evenly as can be over pieces of at most CONTEXT tokens; fewer where there are not so many.

        Raises:
            HubError: no text has two tokens.
        """
        length = min(CONTEXT, self.longest)
        windows: list[tuple[int, list[int]]] = []
        for source, text in enumerate(texts):
            (tokens,) = self._tokens([text], whole=True)
            windows += [(source, piece) for at in range(0, len(tokens), length) if len(piece := tokens[at : at + length]) > 1]
            if len(windows) >= n:
                break
        if not windows:
            raise HubError("No text has two tokens, so that there is no next token to predict. Choose other texts.")
        draw, found = np.random.default_rng(seed), []
        ranges = [(min(FIRST_PLACE, (len(tokens) - 1) // 2), len(tokens) - 1) for _, tokens in windows]
        each = next((k for k in range(1, length) if sum(min(k, end - start) for start, end in ranges) >= n), length)
        for (source, tokens), (start, end) in zip(windows, ranges, strict=True):
            places = np.sort(draw.permutation(np.arange(start, end))[: min(each, n)])
            n -= len(places)
            found.append(Passage(tuple(tokens), tuple(places.tolist()), source))
        return [passage for passage in found if passage.places]

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say."""
        return self.processor.decode([int(token) for token in tokens], clean_up_tokenization_spaces=False)

    def _pixels(self, images: Sequence[Image]) -> Tensor:
        mode = "L" if getattr(self.module.config, "num_channels", 3) == 1 else "RGB"
        return self.processor(images=[image.convert(mode) for image in images], return_tensors="pt")["pixel_values"].float()

    def _tokens(self, texts: Sequence[str], whole: bool = False) -> list[list[int]]:
        """At least one token a text, so that there is something to average."""
        limits = {"truncation": False} if whole else {"truncation": True, "max_length": self.longest}
        return [tokens or [_padding(self.processor)] for tokens in self.processor(list(texts), **limits)["input_ids"]]

    def _padded(self, rows: Sequence[Sequence[int]]) -> Batch:
        ids = torch.full((len(rows), max(map(len, rows))), _padding(self.processor))
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        return Batch({"input_ids": ids, "attention_mask": mask})

    def _of_passages(self, passages: Sequence[Passage]) -> Batch:
        places = [(row, place) for row, passage in enumerate(passages) for place in passage.places]
        return Batch(self._padded([passage.tokens for passage in passages]).inputs, torch.tensor(places))

    # --- inputs to features -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def features_and_logits(self, batch: Batch, layer: str = "") -> tuple[Tensor, Tensor | None]:
        """Features (n, d) of a layer, and logits (n, outputs) where the model gives any, from one pass.

        Raises:
            HubError: no layer of that name.
        """
        name = self.resolve(layer)
        with _outputs_of(self.module.get_submodule(name) if name else None) as seen, self._entering_head(batch) as entered:
            output = self.module(**batch.inputs, **({"use_cache": False} if self.kind == "passages" else {}))
        logits = output.logits if "logits" in output else None
        logits = logits.reshape(-1, logits.shape[-1]) if logits is not None else None
        if name:
            return self._pooled(seen[-1], batch), logits
        if self.head is not None:
            return self._pooled(entered[-1], batch, last=True), logits
        return self._own(output, batch), logits

    @torch.no_grad()
    def largest_activation(self, batch: Batch) -> int:
        """Bytes of the largest output of any module in a pass."""
        sizes = [1]

        def measure(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                sizes.append(output.numel() * output.element_size())

        handles = [part.register_forward_hook(measure) for part in self.module.modules()]
        try:
            self.features_and_logits(batch)
        finally:
            for handle in handles:
                handle.remove()
        return max(sizes)

    def resolve(self, layer: str) -> str:
        """The name of a layer in `module`; "" stays.

        A checkpoint may name a block otherwise than the module that transformers makes of it (another prefix, an older name): a
        name that the module has not is looked for by its end, then by its number.

        Raises:
            HubError: with the names there are.
        """
        if not layer or layer in dict(self.module.named_modules()):
            return layer
        matches = [name for name in self.layers if name.endswith(f".{layer}") or layer.endswith(f".{name}")]
        number = layer.rpartition(".")[2]
        matches = matches or [name for name in self.layers if number.isdecimal() and name.endswith(f".{number}")]
        if len(matches) == 1:
            return matches[0]
        raise HubError(f"{self.name} has no layer {layer!r}; there are: {', '.join(self.layers)}. Empty is the last, pooled.")

    @contextmanager
    def _entering_head(self, batch: Batch) -> Iterator[list[Tensor]]:
        """What the head is given; a language model's is given the items' places only, which spares it all others."""
        entered: list[Tensor] = []

        def enter(_: nn.Module, given: tuple[Any, ...]) -> tuple[Tensor, ...]:
            states = given[0]
            if batch.places is not None:
                states = states[batch.places[:, 0], batch.places[:, 1]][None]  # (1, n, d)
            entered.append(states)
            return (states, *given[1:])

        handle = self.head.register_forward_pre_hook(enter) if self.head is not None else None
        try:
            yield entered
        finally:
            if handle is not None:
                handle.remove()

    def _pooled(self, states: Tensor, batch: Batch, last: bool = False) -> Tensor:
        """A vector an item of a layer's output; `last`: of tokens that a head reads the last one of."""
        if states.ndim == 4:
            return states.mean(dim=(2, 3))
        if states.ndim == 2:
            return states
        if batch.places is not None:
            return states[0] if last else states[batch.places[:, 0], batch.places[:, 1]]
        if self.kind == "images":
            has_class_token = any(name.rpartition(".")[2] in CLASS_TOKENS for name, _ in self.module.named_parameters())
            return states[:, 0] if has_class_token else states.mean(dim=1)
        mask = batch.mask
        assert mask is not None
        if last:
            return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
        return masked_mean(states, mask)

    def _own(self, output: Any, batch: Batch) -> Tensor:
        """What a model without a head goes on with."""
        if self.kind == "text":
            assert batch.mask is not None
            return (self.embed or masked_mean)(output.last_hidden_state, batch.mask)
        if "image_embeds" in output:
            return output.image_embeds
        if self.pools and output.get("pooler_output") is not None:
            return output.pooler_output.flatten(1)
        return self._pooled(output.last_hidden_state, batch)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """States (n, tokens, d) averaged over the tokens whose mask (n, tokens) is 1: (n, d)."""
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


@contextmanager
def _outputs_of(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """The outputs of a module while the `with` lasts."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        while not isinstance(output, Tensor):  # a tuple, or what transformers makes of one
            output = output[0]
        seen.append(output)

    handle = module.register_forward_hook(keep) if module is not None else None
    try:
        yield seen
    finally:
        if handle is not None:
            handle.remove()


# --- loading ------------------------------------------------------------------------------------------------------


def load(reference: str, task: str = "", device: str = "cpu") -> HubModel:
    """A model on this machine.

    Args:
        reference: owner/name@revision, or starter/name.
        task: a key of core.hub.TASKS; empty for what the model was made for.

    Raises:
        HubError: it is not here, or cannot be loaded; the message says why and what to do.
    """
    name, _, revision = reference.partition("@")
    path = folder(name, revision)
    if path is None:
        raise HubError(f"{reference} is not on this machine. Download it on the page Models, or choose a starter model.")
    said = next((one.task for one in starters() if one.name == name), "")
    return from_folder(path, reference, task or said).to(device)


def from_folder(path: Path, name: str, task: str = "") -> HubModel:
    """The model whose files are in a folder, as transformers or sentence-transformers write them. Raises: HubError."""
    steps = _sentence_steps(path, name)
    path = path / (steps[0][1] if steps else "")
    config = _json(path / "config.json")
    task = task or ("sentence-similarity" if steps else _task(config))
    if task not in LOADERS:
        made_for = " and ".join(config.get("architectures") or ["nothing that its configuration tells"])
        raise HubError(f"{name} is made for {made_for}; what can be looked into: {', '.join(LOADERS)}. Choose another model.")
    if "auto_map" in config:
        raise HubError(f"{name} needs Python code of its own, which is never run here. Choose a model that transformers knows.")
    images = "image" in task
    module, missing = _module(path, name, config, task)
    head = _head(module, task)
    processor = _processor(path, name, images)
    if not images and getattr(module.config, "pad_token_id", None) is None:
        module.config.pad_token_id = _padding(processor)  # else a classifier that reads the last token takes one text at a time
    return HubModel(
        name=name,
        task=task,
        module=module,
        layers=tuple(_blocks(module)),
        outputs=_outputs(module, task),
        processor=processor,
        head=head,
        embed=_embedding(path, steps, name) if steps else None,
        longest=LONGEST_TEXT if images else _longest(processor, module.config, path),
        pools=not any("pooler" in key for key in missing),
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _task(config: dict[str, Any]) -> str:
    """What a model was made for, by the name of its class."""
    for architecture in config.get("architectures") or ():
        for ending, task in HEAD_OF.items():
            if architecture.endswith(ending):
                return task
        if architecture.endswith("Model"):
            return "image-feature-extraction" if "image_size" in config or "num_channels" in config else "feature-extraction"
    return ""


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns whatever a library says about a stranger's files into one sentence."""
    try:
        yield
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise HubError(f"{name} cannot be loaded: {said or type(error).__name__}") from error


def _module(path: Path, name: str, config: dict[str, Any], task: str) -> tuple[Any, list[str]]:
    """The network, and the names of weights that it has and the file has not: at most those of a pooler."""
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tower = TOWERS.get(config.get("model_type", "")) if "image" in task and task != "image-classification" else None
    loader = getattr(transformers, tower or LOADERS[task])
    options = {}
    with _explained(name):
        if tower and "projection_dim" in config:  # what the parts' own configurations say of it need not be so
            options["config"] = loader.config_class.from_pretrained(path, local_files_only=True)
            options["config"].projection_dim = config["projection_dim"]
        module, report = loader.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    missing = list(report["missing_keys"])
    needed = [key for key in missing if "pooler" not in key]
    if needed:
        raise HubError(f"The weights of {name} have nothing for {needed[0]}, so that it cannot be used for {task}.")
    if getattr(module.config, "is_encoder_decoder", False) and task in ("sentence-similarity", "feature-extraction"):
        module = module.get_encoder()
    return module.eval(), missing


def _head(module: Any, task: str) -> nn.Module | None:
    """A classifier's last linear layer, or what makes a language model's logits."""
    if task == "text-generation":
        return module.get_output_embeddings()
    if not task.endswith("classification") or task.startswith("zero-shot"):
        return None
    inner = {id(part) for part in module.base_model.modules()} if module.base_model is not module else set()
    linear = [part for part in module.modules() if isinstance(part, nn.Linear) and id(part) not in inner]
    return next((part for part in reversed(linear) if part.out_features == module.config.num_labels), None)


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """The names of the blocks: what the outermost lists of modules hold."""
    for name, part in module.named_children():
        if isinstance(part, nn.ModuleList):
            yield from (f"{prefix}{name}.{number}" for number in range(len(part)))
        else:
            yield from _blocks(part, f"{prefix}{name}.")


def _outputs(module: Any, task: str) -> tuple[str, ...]:
    if not task.endswith("classification") or task.startswith("zero-shot"):
        return ()
    names = module.config.id2label
    return tuple(str(names[number]) for number in range(module.config.num_labels))


def _processor(path: Path, name: str, images: bool) -> Any:
    from transformers import AutoImageProcessor, AutoTokenizer

    with _explained(name):
        return (AutoImageProcessor if images else AutoTokenizer).from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )


def _padding(tokeniser: Any) -> int:
    """The token that fills texts up; it is masked, so that any will do."""
    return next((token for token in (tokeniser.pad_token_id, tokeniser.eos_token_id) if token is not None), 0)


def _longest(processor: Any, config: Any, path: Path) -> int:
    """How many tokens a text may have."""
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or LONGEST_TEXT
    if config.model_type in SHIFTED_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    said = _json(path / "sentence_bert_config.json").get("max_seq_length") or LONGEST_TEXT
    return min(positions, processor.model_max_length, said, LONGEST_TEXT)


# --- sentence encoders --------------------------------------------------------------------------------------------


def _sentence_steps(path: Path, name: str) -> list[tuple[str, str]]:
    """(kind, folder) of the modules that sentence-transformers lists; empty for other models."""
    if not (path / "modules.json").is_file():
        return []
    listed = json.loads((path / "modules.json").read_text(encoding="utf-8"))
    steps = [(str(one["type"]).rpartition(".")[2], str(one["path"])) for one in listed]
    unknown = [kind for kind, _ in steps if kind not in ("Transformer", "Pooling", "Dense", "Normalize")]
    if unknown or not steps or steps[0][0] != "Transformer" or any(Path(place).name != place for _, place in steps):
        raise HubError(f"{name} has a part of a kind that is not known here: {', '.join(unknown) or 'modules.json'}.")
    return steps


def _embedding(path: Path, steps: list[tuple[str, str]], name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """From the states of tokens and their mask to a sentence's vector, step by step as the model lists them."""
    root = path if not steps[0][1] else path.parent
    parts: list[Callable[[Tensor], Tensor]] = []
    pool: Callable[[Tensor, Tensor], Tensor] = masked_mean
    for kind, place in steps[1:]:
        if kind == "Pooling":
            pool = _pooling(_json(root / place / "config.json"), name)
        elif kind == "Dense":
            parts.append(_dense(root / place, name))
        else:
            parts.append(lambda vectors: nn.functional.normalize(vectors, dim=1))

    def embed(states: Tensor, mask: Tensor) -> Tensor:
        vectors = pool(states, mask)
        for part in parts:
            vectors = part(vectors)
        return vectors

    return embed


def _class_token(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=states.device), mask.argmax(dim=1)]


def _last_token(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]


def _largest(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(dim=1)


def _root_mean(states: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(states, mask) * mask.sum(dim=1, keepdim=True).to(states.dtype).sqrt()


def _rising_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Weights that rise with the place: 1 for the first token, 2 for the second, ..."""
    return masked_mean(states, mask * torch.arange(1, mask.shape[1] + 1, device=mask.device))


POOLINGS = {  # as sentence-transformers names them, in the order in which it puts several side by side
    "cls_token": _class_token,
    "max_tokens": _largest,
    "mean_tokens": masked_mean,
    "mean_sqrt_len_tokens": _root_mean,
    "weightedmean_tokens": _rising_mean,
    "lasttoken": _last_token,
}
NEWER_NAMES = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens"}
NEWER_NAMES |= {"weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}


def _pooling(config: dict[str, Any], name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What a pooling's configuration asks for, in its older or its newer form."""
    asked = config.get("pooling_mode")
    if asked:
        wanted = [NEWER_NAMES.get(one, one) for one in ([asked] if isinstance(asked, str) else asked)]
    else:
        wanted = [key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    chosen = [pool for key, pool in POOLINGS.items() if key in wanted]
    if not chosen or len(chosen) < len(wanted):
        raise HubError(f"{name} pools by {', '.join(wanted) or 'nothing'}, which is not known here. Choose another model.")
    return lambda states, mask: torch.cat([pool(states, mask) for pool in chosen], dim=1)


def _dense(path: Path, name: str) -> Callable[[Tensor], Tensor]:
    """A linear layer and what follows it."""
    from safetensors.torch import load_file

    about = _json(path / "config.json")
    function = str(about.get("activation_function") or "Identity").rpartition(".")[2]
    unusual = about.get("use_residual") or about.get("module_input_name", "sentence_embedding") != "sentence_embedding"
    if unusual or function not in ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid"):
        raise HubError(f"{name} has a layer ({function}) of a kind that is not known here. Choose another model.")
    with _explained(name):
        weights = load_file(path / "model.safetensors")
    activation = getattr(nn, function)()
    weight, bias = weights["linear.weight"], weights.get("linear.bias")

    def dense(vectors: Tensor) -> Tensor:
        device = vectors.device
        return activation(nn.functional.linear(vectors, weight.to(device), None if bias is None else bias.to(device)))

    return dense
