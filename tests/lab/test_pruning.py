"""The pruning tool on small models of every task: exact counts, honest pictures, and files that load back with the mask's zeros."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file

from core import exported
from core.engine.spec import make_spec
from core.hub import bundled, starters
from core.lab import pruned_weights, pruning
from core.measures import masks as masking
from core.methods.base import Inputs, ParameterError, make_params
from core.recorder import Recorder
from core.store import Store
from models import criteria
from models.weights import as_kept, by_output, connection_weights
from tests.lab.small_models import write_models
from tests.methods.conftest import record
from tests.models.architectures import ALL, answer_of

DATA = {"vit": "digits-8", "resnet": "digits-8", "bert": "names-12", "encoder": "names-12", "gpt2": "prose", "llama": "code"}


@pytest.fixture(scope="module", autouse=True)
def small_models(tmp_path_factory):
    """The small models take the place of the starters."""
    folder = tmp_path_factory.mktemp("starters")
    write_models(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled, "FOLDER", folder)
        patch.setenv("PROVING_GROUND_EXPORTS", str(tmp_path_factory.mktemp("exports")))
        starters.cache_clear()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)
    starters.cache_clear()


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


def parameters(name, tool=pruning, **more):
    return make_params(tool.Params, {"model": f"starter/{name}", "data": DATA[name], "items": 60, "calibration": 20, **more})


def subject_of(name, **more):
    recorder = Recorder(lambda batch: None, (0,))
    return pruning.Subject(parameters(name, **more), Inputs((0,)), recorder)


CASES = [*itertools.product(["magnitude-global", "magnitude-layer", "saliency", "wanda"], [50, 90]), ("channels", 50)]


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("criterion", "percent"), CASES)
def test_every_architecture_loses_exactly_its_share_and_keeps_the_rest(make, criterion, percent):
    torch.manual_seed(0)
    network, inputs = make()
    before = {name: value.clone() for name, value in network.eval().state_dict().items()}
    weights = connection_weights(network)
    scores = {
        "saliency": lambda: criteria.saliency(network, weights, iter([inputs]), answer_of(network)),
        "wanda": lambda: criteria.wanda(network, weights, iter([inputs]), answer_of(network)),
    }.get(criterion, lambda: criteria.magnitude(network, weights))()
    found = pruning.masks_of(criterion, scores, percent, network)
    total, gone = sum(w.numel() for w in weights.values()), sum(int((~mask).sum()) for mask in found.values())
    units = criteria.unit_rows(network, found)
    largest = max(mask.shape[1] * units[name] for name, mask in found.items()) if criterion == "channels" else 1
    assert abs(gone - percent * total / 100) <= largest
    with torch.no_grad():
        for name, weight in weights.items():
            weight.masked_fill_(~as_kept(network, name, found[name]), 0)
    after = network.state_dict()
    for name, value in before.items():
        if name in weights:
            rows, kept = (by_output(network, name, state[name]) for state in (after, before))
            assert not rows[~found[name]].any() and torch.equal(rows[found[name]], kept[found[name]])
        else:
            assert torch.equal(after[name], value), f"{name} changed"


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("criterion", pruned_weights.CRITERIA)
def test_every_criterion_works_on_every_task(name, criterion):
    subject = subject_of(name)
    calls = []
    scores = subject.scores(criterion, lambda: calls.append(1))
    assert len(calls) == subject.batches_ahead(criterion)
    found = pruning.masks_of(criterion, scores, 50, subject.module)
    subject.apply(found)
    for weight_name, weight in subject.weights.items():
        assert torch.equal(by_output(subject.module, weight_name, weight) != 0, found[weight_name]), "no dense weight here is 0"
    measured = subject.measure(lambda: calls.append(1))
    assert len(calls) == subject.batches_ahead(criterion) + subject.batches
    assert np.isfinite(measured.loss).all() and len(measured.target) == 60


def test_evaluation_and_calibration_share_nothing():
    subject = subject_of("vit")
    assert len(subject.evaluation) == 60 and len(subject.calibration) == 20
    assert not set(subject.evaluation.chosen) & set(subject.calibration.chosen)
    language = subject_of("gpt2")
    evaluated, seen = ({passage.tokens for passage in part.given} for part in (language.evaluation, language.calibration))
    assert evaluated and seen and not evaluated & seen


def test_the_measures_are_those_of_the_model_by_itself(small_models):
    subject = subject_of("vit")
    measured = subject.measure(lambda: None)
    images = [subject.evaluation.given[place] for place in subject.evaluation.chosen]
    pixels = torch.stack([torch.tensor(np.asarray(image), dtype=torch.float32)[None] / 255 for image in images])
    model = transformers.ViTForImageClassification.from_pretrained(small_models / "vit").eval()
    with torch.no_grad():
        logits = model(pixel_values=pixels).logits
    labels = torch.tensor(subject.evaluation.targets[subject.evaluation.chosen])
    values = measured.summary(logits.argmax(1).numpy())
    assert values["accuracy"] == pytest.approx(100 * (logits.argmax(1) == labels).float().mean().item())
    assert values["accuracy"] > 50, "it has learnt something"
    assert values["nll"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)
    assert values["disagreement"] == 0


def test_a_language_model_is_measured_on_next_tokens(small_models):
    subject = subject_of("gpt2")
    measured = subject.measure(lambda: None)
    model = transformers.GPT2LMHeadModel.from_pretrained(small_models / "gpt2").eval()
    losses = []
    with torch.no_grad():
        for passage in subject.evaluation.given:
            scores = model(torch.tensor([passage.tokens])).logits[0].log_softmax(-1)
            losses += [-scores[place, passage.tokens[place + 1]].item() for place in passage.places]
    np.testing.assert_allclose(measured.loss, losses, rtol=1e-4)


def test_other_classes_than_the_model_s_get_a_probe_that_is_not_pruned():
    subject = subject_of("bert")  # of two languages, on data in twelve
    assert subject.probe is not None and len(subject.classes) == 12
    before = subject.probe.weight.clone()
    subject.apply(pruning.masks_of("magnitude-global", subject.scores("magnitude-global", lambda: None), 90, subject.module))
    assert torch.equal(subject.probe.weight, before)
    assert subject_of("vit").probe is None


def test_a_probe_is_the_logistic_regression_it_was_fitted_as():
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(0)
    for kinds in ([0, 2, 3], [1, 3]):
        labels = draw.choice(kinds, 80)
        vectors = torch.tensor(draw.normal(size=(80, 5)) * [1, 10, 1, 1, 0] + labels[:, None] + 3)
        layer = pruning.linear_classifier(vectors, labels, classes=4)
        inputs = vectors.numpy()
        deviation = np.where(inputs.std(0) == 0, 1, inputs.std(0))
        standardised = (inputs - inputs.mean(0)) / deviation
        expected = LogisticRegression(max_iter=1000).fit(standardised, labels).predict_proba(standardised)
        found = layer(vectors.float()).softmax(1).detach().numpy()
        np.testing.assert_allclose(found[:, kinds], expected, atol=1e-5)


class TestWhatMayBePruned:
    def test_the_output_layer_stays_dense_unless_it_is_asked_for(self):
        body, everything = (set(subject_of("vit", scope=scope).weights) for scope in pruning.SCOPES)
        assert everything - body == {"classifier.weight"}
        assert set(subject_of("llama", scope="all").weights) - set(subject_of("llama").weights) == {"lm_head.weight"}

    def test_layers_by_a_word_in_their_name(self):
        assert {name.rpartition(".")[2] for name in subject_of("gpt2", only="mlp").weights} == {"weight"}
        assert all("mlp" in name for name in subject_of("gpt2", only="mlp").weights)
        with pytest.raises(ParameterError, match="No layer has 'nothing' in its name; there are"):
            subject_of("gpt2", only="nothing")


def test_data_of_another_kind_are_refused():
    with pytest.raises(ParameterError, match="takes images"):
        subject_of("vit", data="prose")


@pytest.fixture(scope="module")
def recording(tmp_path_factory, small_models):
    store = Store.open(tmp_path_factory.mktemp("run") / "store.duckdb")
    values = {"model": "starter/vit", "data": "digits-8", "items": 100, "calibration": 40, "sparsities": "50, 90"}
    yield record(store, make_spec("pruning", "smoke", values))
    store.close()


class TestARun:
    def test_every_criterion_is_measured_at_every_sparsity(self, recording):
        sweep = recording.store.table(recording.run, "sweep")
        found = {arm: rows["sparsity"].tolist() for arm, rows in sweep.groupby("arm")}
        assert found == {"dense": [0], **{arm: [50, 90] for arm in pruned_weights.CRITERIA}}
        assert (sweep["measured"] == 100).all()
        magnitude = sweep[sweep["arm"] == "magnitude-global"]
        assert (magnitude["overlap"] == 1).all()
        by_criterion = sweep[~sweep["arm"].isin(["dense", "channels"])]
        np.testing.assert_allclose(by_criterion["reached"], by_criterion["sparsity"], atol=0.01)
        random = sweep[(sweep["arm"] == "random") & (sweep["sparsity"] == 50)].iloc[0]
        assert random["overlap"] == pytest.approx(1 / 3, abs=0.03), "independent masks of density a half"
        dense = sweep[sweep["arm"] == "dense"].iloc[0]
        assert (by_criterion["disagreement"] > 0).all() and dense["disagreement"] == 0

    def test_accuracy_by_class_adds_up(self, recording):
        sweep, classes = (recording.store.table(recording.run, name) for name in ("sweep", "by_class"))
        for (arm, sparsity), rows in classes.groupby(["arm", "sparsity"]):
            whole = sweep[(sweep["arm"] == arm) & (sweep["sparsity"] == sparsity)]["accuracy"].item()
            assert (rows["accuracy"] * rows["items"]).sum() / rows["items"].sum() == pytest.approx(whole)

    def test_pictures_and_sample_agree_with_the_table_of_layers(self, recording):
        store, run = recording.store, recording.run
        layers = store.table(run, "layers")
        for row in layers.itertuples():
            (shares,) = store.arrays(run, "matrix", row.layer, arm=row.arm, step=row.sparsity)["array"]
            assert shares.shape == (row.outputs, row.inputs), "layers this small are kept whole"
            assert set(np.unique(shares)) <= {0, 1}
            assert 100 * (1 - shares.mean()) == pytest.approx(row.removed, abs=1e-4)
        whole = layers.assign(gone=layers["removed"] * layers["outputs"] * layers["inputs"], n=layers["outputs"] * layers["inputs"])
        for (arm, sparsity), rows in whole.groupby(["arm", "sparsity"]):
            (sample,) = store.arrays(run, "mask", pruning.SAMPLE, arm=arm, step=sparsity)["array"]
            assert 100 * (1 - sample.mean()) == pytest.approx(rows["gone"].sum() / rows["n"].sum())

    def test_the_same_again_is_the_same(self, recording, store):
        again = record(store, recording.spec)
        for name in ("sweep", "layers", "by_class"):
            pd.testing.assert_frame_equal(store.table(again.run, name), recording.store.table(recording.run, name))

    def test_how_much_can_go_for_a_point(self, recording):
        results = recording.store.results(recording.run).set_index("arm")
        sweep = recording.store.table(recording.run, "sweep")
        for arm in pruned_weights.CRITERIA:
            rows = sweep[(sweep["arm"] == arm) & (sweep["accuracy"] >= results.loc["dense", "accuracy"] - 1)]
            assert results.loc[arm, "within_one_point"] == (rows["sparsity"].max() if len(rows) else 0)


def export(store, name, **more):
    spec = make_spec("pruned-weights", "smoke", vars(parameters(name, tool=pruned_weights, **more)))
    run = record(store, spec).run
    return exported.find(store.table(run, "export")["folder"].item()), run


class TestTheFilesToTakeAway:
    @pytest.mark.parametrize(("name", "loader"), [
        ("vit", transformers.AutoModelForImageClassification), ("resnet", transformers.AutoModelForImageClassification),
        ("bert", transformers.AutoModelForSequenceClassification), ("encoder", transformers.AutoModel),
        ("gpt2", transformers.AutoModelForCausalLM), ("llama", transformers.AutoModelForCausalLM),
    ])  # fmt: skip
    def test_they_load_back_with_exactly_the_mask_s_zeros(self, store, small_models, name, loader):
        folder, _ = export(store, name, sparsity=90, criterion="wanda")
        model, dense = loader.from_pretrained(folder), loader.from_pretrained(small_models / name)
        subject = subject_of(name)
        expected = pruning.masks_of("wanda", subject.scores("wanda", lambda: None), 90, subject.module)
        state, before = model.state_dict(), dense.state_dict()
        gone = 0
        for weight_name, value in state.items():
            if weight_name in expected:
                mask = as_kept(subject.module, weight_name, expected[weight_name])
                assert torch.equal(value, before[weight_name] * mask)
                gone += int((value == 0).sum())
            else:
                assert torch.equal(value, before[weight_name])
        total = sum(weight.numel() for weight in subject.weights.values())
        assert abs(gone - 0.9 * total) <= 1

    def test_processor_and_card_go_along_and_nothing_else(self, store):
        folder, run = export(store, "vit", sparsity=50)
        assert exported.names(folder) == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
        assert isinstance(transformers.AutoImageProcessor.from_pretrained(folder), transformers.BaseImageProcessor)
        sizes = store.table(run, "files").set_index("name")["bytes"]
        assert sizes["model.safetensors"] == (folder / "model.safetensors").stat().st_size
        tokens, _ = export(store, "gpt2")
        assert transformers.AutoTokenizer.from_pretrained(tokens)("ab")["input_ids"] == [99, 100]

    def test_the_card_states_what_was_measured(self, store):
        folder, run = export(store, "vit", sparsity=80, criterion="random")
        result = store.results(run).iloc[0]
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert card.startswith('---\nlibrary_name: "transformers"\ntags: ["pruning", "sparse"]\n---\n')
        assert "vit, pruned to 80% zeros" in card and "Weights of each layer go at random" in card
        assert "| accuracy |" in card and f" {result['accuracy']:.4g}% |" in card
        assert "60 items of `digits-8` that no criterion saw" in card

    def test_a_model_of_the_hub_is_named_and_a_stranger_s_words_are_only_text(self):
        subject = SimpleNamespace(
            weights={"w": torch.zeros(4)}, parameters=8, probe=None, model=SimpleNamespace(kind="images"), classes=("a",)
        )
        values = dict.fromkeys(("accuracy", "nll", "ece", "disagreement"), math.nan) | {"measured": 3}
        params = make_params(pruned_weights.Params, {"model": 'owner/na"me', "data": "owner/data"})
        card = pruned_weights.card(params, subject, 0.5, {"before": values, "after": values})
        head = card.split("---\n")[1]
        assert (
            json.loads(next(line for line in head.splitlines() if line.startswith("base_model")).partition(": ")[2])
            == 'owner/na"me'
        )
        assert "| accuracy | – | – |" in card

    def test_a_sentence_encoder_keeps_its_parts(self, small_models, tmp_path):
        source, folder = tmp_path / "source", tmp_path / "made"
        (source / "1_Pooling").mkdir(parents=True)
        (source / "2_Dense").mkdir()
        modules = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
        (source / "modules.json").write_text(json.dumps(modules))
        (source / "1_Pooling" / "config.json").write_text("{}")
        (source / "2_Dense" / "model.safetensors").write_bytes(b"dense")
        (source / "encoder.pkl").write_bytes(b"never")
        (source / "0_Transformer").symlink_to(small_models / "encoder")
        folder.mkdir()
        pruned_weights.write(subject_of("encoder"), source, folder)
        found = exported.names(folder)
        assert {"modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors", "0_Transformer/model.safetensors"} <= set(
            found
        )
        assert not [name for name in found if name.endswith(".pkl")]

    def test_a_failure_leaves_no_folder_behind(self, small_models, monkeypatch):
        before = set(exported.root().iterdir())

        def fail(*_):
            raise OSError("disk")

        monkeypatch.setattr(pruned_weights, "write", fail)
        with pytest.raises(OSError, match="disk"):
            pruned_weights.run("export", parameters("vit", tool=pruned_weights), Inputs((0,)), Recorder(lambda batch: None, (0,)))
        assert set(exported.root().iterdir()) == before

    def test_zeros_are_no_negative_zeros(self, store):
        folder, _ = export(store, "vit", sparsity=90)
        weights = load_file(folder / "model.safetensors")
        assert not any((torch.signbit(value) & (value == 0)).any() for value in weights.values())


def test_saliency_without_labels_says_so(small_models):
    subject = subject_of("vit")
    object.__setattr__(subject.calibration, "targets", np.full(len(subject.calibration.given), -1))
    with pytest.raises(ValueError, match="no calibration item has a label"):
        subject.scores("saliency", lambda: None)


def test_a_picture_of_a_large_layer_is_a_grid_of_shares():
    batches = []
    recorder = Recorder(batches.append, (0,))
    mask = torch.rand(300, 200) < 0.4
    pruning.record_masks({"layer.weight": mask}, torch.arange(mask.numel()), 60, recorder)
    recorder.close()
    (shares,) = [event.array for batch in batches for event in batch.arrays if event.kind == "matrix"]
    assert shares.shape == (64, 64)
    assert shares[0, 0] == pytest.approx(mask[: 300 // 64, : 200 // 64].float().mean().item())
    assert masking.density({"": mask}) == pytest.approx(shares.mean(), abs=0.01)
