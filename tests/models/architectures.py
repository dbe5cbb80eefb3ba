"""Real architectures of transformers, small and untrained, each with a batch of inputs, and what a batch is answered."""

from __future__ import annotations

import torch
import transformers

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}


def vit():
    config = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=5, **SMALL)
    return transformers.ViTForImageClassification(config), {"pixel_values": torch.rand(6, 3, 16, 16)}


def resnet():
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=5, num_channels=3
    )
    return transformers.ResNetForImageClassification(config), {"pixel_values": torch.rand(6, 3, 32, 32)}


def bert():
    config = transformers.BertConfig(vocab_size=50, num_labels=5, max_position_embeddings=16, **SMALL)
    return transformers.BertForSequenceClassification(config), {"input_ids": torch.randint(0, 50, (6, 9))}


def gpt2():
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=24, n_layer=2, n_head=3)
    return transformers.GPT2LMHeadModel(config), {"input_ids": torch.randint(0, 50, (6, 9))}


def llama():
    config = transformers.LlamaConfig(
        vocab_size=50, max_position_embeddings=16, num_key_value_heads=1, tie_word_embeddings=False, **SMALL
    )
    return transformers.LlamaForCausalLM(config), {"input_ids": torch.randint(0, 50, (6, 9))}


ALL = (vit, resnet, bert, gpt2, llama)


def answer_of(network):
    """Logits and targets of a batch of inputs: classes by turns, or the next token."""

    def answer(inputs):
        logits = network(**inputs).logits
        if logits.ndim == 3:
            return logits[:, :-1].flatten(0, 1), inputs["input_ids"][:, 1:].flatten()
        return logits, torch.arange(len(logits)) % logits.shape[1]

    return answer
