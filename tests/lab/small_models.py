"""Small models of every task as a person would find them: configuration, safetensors, processor or tokeniser, in a folder each."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy

from core.data.digits import digits_images

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
TASKS = {
    "vit": "image-classification",
    "resnet": "image-classification",
    "bert": "text-classification",
    "encoder": "feature-extraction",
    "gpt2": "text-generation",
    "llama": "text-generation",
}


def write_models(folder: Path) -> None:
    """vit and resnet for digits, the first trained a little; bert and encoder for texts; gpt2 (tied) and llama (not tied)."""
    torch.manual_seed(0)
    ten = {"id2label": {number: str(number) for number in range(10)}, "label2id": {str(number): number for number in range(10)}}
    vit = transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=8, patch_size=2, num_channels=1, hidden_dropout_prob=0.0, **SMALL, **ten)
    )
    learn_digits(vit, steps=150)
    resnet = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **ten)
    )
    length = {"max_position_embeddings": 64, "vocab_size": 130}
    languages = {"id2label": {0: "English", 1: "French"}, "label2id": {"English": 0, "French": 1}}
    made = {
        "vit": vit,
        "resnet": resnet,
        "bert": transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, **length, **languages, pad_token_id=0)),
        "encoder": transformers.BertModel(transformers.BertConfig(**SMALL, **length, pad_token_id=0)),
        "gpt2": transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=130, n_positions=64, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0)
        ),
        "llama": transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                **SMALL, **length, num_key_value_heads=1, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0
            )
        ),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        if TASKS[name].startswith("image"):
            transformers.ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.0], image_std=[1.0]).save_pretrained(
                folder / name
            )
        else:
            characters().save_pretrained(folder / name)
        said = {"title": name, "task": TASKS[name], "data": "", "licence": "MIT"}
        (folder / name / "provenance.json").write_text(json.dumps(said), encoding="utf-8")


def learn_digits(model: torch.nn.Module, steps: int) -> None:
    images, optimiser = digits_images(), torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        batch = torch.randint(600, 1797, (64,))
        optimiser.zero_grad()
        cross_entropy(model(pixel_values=images.pixels[batch]).logits, images.labels[batch]).backward()
        optimiser.step()


def characters() -> transformers.PreTrainedTokenizerFast:
    """A token a character."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {chr(code): code + 2 for code in range(128)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    )
