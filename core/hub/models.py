"""Models of the Hub: search, and a close look at one without downloading its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from core.hub.bundled import PREFIX, starter
from core.hub.failures import HubError, explaining
from core.hub.layers import Layer, Tensor, tree

TASKS = {  # what the app can look into, as the Hub names it, and how a person says it
    "image-classification": "Image classification",
    "image-feature-extraction": "Image features",
    "zero-shot-image-classification": "Images and text (CLIP, SigLIP)",
    "text-classification": "Text classification",
    "sentence-similarity": "Sentence embedding",
    "feature-extraction": "Text features",
    "text-generation": "Text generation",
}
SORTS = {"downloads": "Downloads", "likes": "Likes", "trendingScore": "Trending", "lastModified": "Newest"}
ANSWER_SECONDS = 10.0  # how long the Hub may take for one answer while a person waits
WEIGHTS = re.compile(r"model\.safetensors|model-\d{5}-of-\d{5}\.safetensors|\d+_\w+/model\.safetensors")
PLAIN = re.compile(
    r"README\.md|model\.safetensors\.index\.json|(config|generation_config|preprocessor_config|processor_config)\.json"
    r"|(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|vocab\.txt|merges\.txt"
    r"|(tokenizer|spiece|sentencepiece\.bpe)\.model|(modules|sentence_bert_config|config_sentence_transformers)\.json"
    r"|\d+_\w+/config\.json"
)
PICKLES = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|h5|msgpack)")
REVISION = re.compile(r"(?!.*\.\.)[\w][\w./+-]{0,200}")
COMMIT = re.compile(r"[0-9a-f]{40}")
LONGEST_TEXT = 2_000_000  # bytes of a configuration or a card that are read
BYTES_PER_PARAMETER = 4  # models are computed in 32 bits
WORKER_BYTES = 700_000_000  # Python, torch and transformers, before any model
HEAD_OF = {  # how the classes of transformers end, and the Hub's name for what they do
    "ForImageClassification": "image-classification",
    "ForSequenceClassification": "text-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "feature-extraction",
    "CLIPModel": "zero-shot-image-classification",
    "SiglipModel": "zero-shot-image-classification",
}
SEEN_BY = {"fill-mask": "feature-extraction"}  # tasks of the Hub whose models are looked into as another


@dataclass(frozen=True)
class Found:
    """A model as a search finds it; None and "" where the Hub does not say."""

    name: str
    task: str = ""
    library: str = ""
    licence: str = ""
    gated: bool = False
    downloads: int | None = None
    likes: int | None = None
    parameters: int | None = None
    updated: datetime | None = None


@dataclass(frozen=True)
class File:
    """One file of a model. `etag` is what the Hub's cache names it by: its sha256, or git's hash where it is small."""

    name: str
    size: int
    etag: str = ""

    @property
    def wanted(self) -> bool:
        """Whether it is fetched: safetensors, or plain configuration."""
        return bool(WEIGHTS.fullmatch(self.name) or PLAIN.fullmatch(self.name))


@dataclass(frozen=True)
class ModelInfo:
    """All that is known of a model without its weights.

    Attributes:
        commit: the revision as the 40 digits that never move; "" for a starter.
        task: a key of TASKS; else what the Hub says, which the app cannot look into.
        tensors: names, shapes and types from the headers of the safetensors files.
        config: config.json.
        card: the text of README.md, Markdown of a stranger, without its header.
        local: where its files are, if they were read from this machine.
        obstacle: why it cannot be used here, and what to do; "" where it can.
    """

    name: str
    revision: str
    commit: str
    task: str
    library: str
    licence: str
    gated: bool
    downloads: int | None
    files: tuple[File, ...]
    tensors: tuple[Tensor, ...]
    config: Mapping[str, Any]
    card: str
    local: Path | None = None
    obstacle: str = ""

    @property
    def reference(self) -> str:
        """What names exactly this model: starter/name, or owner/name@commit."""
        return f"{self.name}@{self.commit}" if self.commit else self.name

    @property
    def wanted(self) -> tuple[File, ...]:
        """The files that are fetched."""
        return tuple(file for file in self.files if file.wanted)

    @property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def memory_bytes(self) -> int:
        """What a worker holds with this model loaded, roughly: its parameters in 32 bits, a fifth more, and the libraries."""
        return int(1.2 * BYTES_PER_PARAMETER * self.parameters) + WORKER_BYTES

    @property
    def labels(self) -> tuple[str, ...]:
        """What a classifier tells apart, in the order of its outputs; empty where it only numbers them."""
        names = self.config.get("id2label")
        if not isinstance(names, dict) or not all(str(key).isdecimal() for key in names):
            return ()
        ordered = tuple(str(names[key]) for key in sorted(names, key=int))
        return () if all(re.fullmatch(r"LABEL_\d+", label) for label in ordered) else ordered

    @property
    def layers(self) -> Layer:
        return tree(self.tensors, name=self.name)


def fits(info: ModelInfo, memory_bytes: float) -> bool:
    """Whether a worker that may hold so much memory can load the model."""
    return info.memory_bytes <= memory_bytes


# --- search -------------------------------------------------------------------------------------------------------


def search(
    words: str = "",
    task: str = "",
    library: str = "",
    licence: str = "",
    max_parameters: int | None = None,
    sort: str = "downloads",
    limit: int = 20,
) -> list[Found]:
    """Models with safetensors on the Hub, the first by `sort` first.

    Args:
        words: must be in the id.
        task: a key of TASKS; library and licence as the Hub's tags name them ("transformers", "apache-2.0").
        sort: a key of SORTS.

    Raises:
        HubError: offline, or the Hub does not answer as it should.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    filters = ["safetensors", *([library] if library else []), *([f"license:{licence}"] if licence else [])]
    query: dict[str, Any] = {"filter": filters, "sort": sort, "limit": limit}
    query |= {"search": words.strip()} if words.strip() else {}
    query |= {"pipeline_tag": task} if task else {}
    query |= {"num_parameters": f"max:{max_parameters / 1e6:g}M"} if max_parameters else {}
    query["expand"] = ["downloads", "likes", "pipeline_tag", "library_name", "safetensors", "gated", "tags", "lastModified"]
    with explaining():  # one try within the time a person waits: huggingface_hub's own list_models tries for half a minute
        answer = get_session().get(
            f"{constants.ENDPOINT}/api/models", params=query, headers=build_hf_headers(), timeout=ANSWER_SECONDS
        )
        hf_raise_for_status(answer)
        return [_found(item) for item in answer.json()]


def _found(item: Mapping[str, Any]) -> Found:
    updated = item.get("lastModified")
    return Found(
        name=item["id"],
        task=item.get("pipeline_tag") or "",
        library=item.get("library_name") or "",
        licence=_licence(item.get("tags") or ()),
        gated=bool(item.get("gated")),
        downloads=item.get("downloads"),
        likes=item.get("likes"),
        parameters=(item.get("safetensors") or {}).get("total"),
        updated=datetime.fromisoformat(updated) if updated else None,
    )


def _licence(tags: Iterable[str]) -> str:
    return next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")


# --- one model ----------------------------------------------------------------------------------------------------


def inspect(name: str, revision: str = "") -> ModelInfo:
    """All about one model, from the Hub; where the Hub cannot be reached, from this machine, if the model was downloaded.

    Args:
        name: owner/name, or starter/name.
        revision: a branch, a tag or a commit; empty for the newest.

    Raises:
        HubError: malformed, missing, gated, offline and not here, ...
    """
    if name.startswith(PREFIX):
        return _from_folder(name, "", "", starter(name).path)
    revision = checked(name, revision)
    try:
        return _from_hub(name, revision)
    except HubError as error:
        here = folder(name, revision) if error.offline else None
        if here is None:
            raise
        return _from_folder(name, revision, here.name, here)


def checked(name: str, revision: str) -> str:
    """The revision, main where none is given. Raises: HubError for what can be no id or no revision."""
    from huggingface_hub.utils import validate_repo_id

    with explaining(name):
        validate_repo_id(name)
    if revision and not REVISION.fullmatch(revision):
        raise HubError(f"{revision!r} is no revision: give a branch, a tag or a commit of {name}, or leave it empty.")
    return revision or "main"


def _from_hub(name: str, revision: str) -> ModelInfo:
    from huggingface_hub import HfApi, constants

    api = HfApi()
    with explaining(name, revision=revision):
        about = api.model_info(name, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)
        commit = str(about.sha)
        siblings = about.siblings or []
        files = tuple(File(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else s.blob_id or "") for s in siblings)
        sizes = {file.name: file.size for file in files}

        def text(file: str) -> str:
            return _text(name, commit, file) if 0 < sizes.get(file, 0) <= LONGEST_TEXT else ""

        def header(file: str) -> Any:
            return api.parse_safetensors_file_metadata(name, file, revision=commit, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)

        with ThreadPoolExecutor(8) as pool:
            config, card = pool.map(text, ["config.json", "README.md"])
            headers = list(pool.map(header, _shards(sizes)))
    tags = about.tags or []
    return _assembled(
        name=name,
        revision=revision,
        commit=commit,
        task=about.pipeline_tag or "",
        library=about.library_name or "",
        licence=_licence(tags),
        gated=bool(about.gated),
        downloads=about.downloads,
        files=files,
        headers=headers,
        config=config,
        readme=card,
        tags=tags,
    )


def _text(name: str, commit: str, file: str) -> str:
    """A small text file of a model."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    address = hf_hub_url(name, file, revision=commit)
    answer = get_session().get(address, headers=build_hf_headers(), timeout=ANSWER_SECONDS)
    hf_raise_for_status(answer)
    return answer.content.decode("utf-8", errors="replace")


def _from_folder(name: str, revision: str, commit: str, path: Path) -> ModelInfo:
    """The same from a folder with the model's files."""
    from huggingface_hub import parse_local_safetensors_file_metadata

    sizes = {file.relative_to(path).as_posix(): file.stat().st_size for file in sorted(path.rglob("*")) if file.is_file()}
    texts = {
        file: (path / file).read_text(encoding="utf-8", errors="replace")
        for file in ("config.json", "README.md")
        if 0 < sizes.get(file, 0) <= LONGEST_TEXT
    }
    with explaining(name, revision=revision):
        headers = [parse_local_safetensors_file_metadata(path / file) for file in _shards(sizes)]
    said, _ = _split_card(texts.get("README.md", ""))
    tags = said.get("tags")
    return _assembled(
        name=name,
        revision=revision,
        commit=commit,
        task=str(said.get("pipeline_tag") or (starter(name).task if name.startswith(PREFIX) else "")),
        library=str(said.get("library_name") or ""),
        licence=str(said.get("license") or (starter(name).licence if name.startswith(PREFIX) else "")),
        gated=False,
        downloads=None,
        files=tuple(File(file, size) for file, size in sizes.items()),
        headers=headers,
        config=texts.get("config.json", ""),
        readme=texts.get("README.md", ""),
        tags=tags if isinstance(tags, list) else [],
        local=path,
    )


def _shards(names: Iterable[str]) -> list[str]:
    """The files of weights at the top: the one, or else the shards."""
    found = sorted(name for name in names if WEIGHTS.fullmatch(name) and "/" not in name)
    return ["model.safetensors"] if "model.safetensors" in found else found


def _assembled(
    *, headers: list[Any], config: str, readme: str, tags: Iterable[str], task: str, files: tuple[File, ...], **facts: Any
) -> ModelInfo:
    known = _json(config)
    _, card = _split_card(readme)
    tensors = tuple(
        Tensor(name, tuple(tensor.shape), tensor.dtype)
        for header in headers
        for name, tensor in sorted(header.tensors.items(), key=lambda item: item[1].data_offsets)
    )
    task = _task(task, known)
    obstacle = _obstacle(facts["name"], task, known, files, tags)
    return ModelInfo(task=task, files=files, tensors=tensors, config=known, card=card, obstacle=obstacle, **facts)


def _json(text: str) -> dict[str, Any]:
    """What a configuration says; nothing where it is not what it should be."""
    try:
        known = json.loads(text)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _split_card(text: str) -> tuple[dict[str, Any], str]:
    """A card's header in YAML, and its text."""
    import yaml

    found = re.match(r"\s*---\r?\n(.*?)\r?\n---\r?\n?", text, re.DOTALL)
    if not found:
        return {}, text
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError:
        header = None
    return header if isinstance(header, dict) else {}, text[found.end() :]


def _task(said: str, config: Mapping[str, Any]) -> str:
    """A key of TASKS where the Hub or the configuration names one, else what the Hub says."""
    said = SEEN_BY.get(said, said)
    if said in TASKS:
        return said
    architectures = config.get("architectures")
    for architecture in architectures if isinstance(architectures, list) and not said else []:
        for ending, task in HEAD_OF.items():
            if str(architecture).endswith(ending):
                return task
        if str(architecture).endswith("Model"):
            return "image-feature-extraction" if "image_size" in config else "feature-extraction"
    return said


def _obstacle(name: str, task: str, config: Mapping[str, Any], files: tuple[File, ...], tags: Iterable[str]) -> str:
    """Why a model cannot be used here."""
    names = [file.name for file in files]
    if not _shards(names):
        pickled = next((file for file in names if PICKLES.fullmatch(file)), None)
        what = f"its weights only as {pickled}, which can run code when it is opened" if pickled else "no model.safetensors"
        return f"{name} has {what}. Choose a model with safetensors, or ask its authors to add them."
    if not config:
        return f"{name} has no config.json that says what kind of model it is. Choose another model or revision."
    if "auto_map" in config or "custom_code" in tags:
        return f"{name} needs Python code of its own, which is never run here. Choose a model that transformers knows."
    if "quantization_config" in config:
        return f"{name} is quantised, which cannot be loaded here. Choose the model that it was made from."
    if task not in TASKS:
        return f"{name} is made for {task or 'a task that it does not name'}; here are: {', '.join(TASKS)}. Choose one of these."
    return ""


# --- what is on this machine ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where huggingface_hub keeps a model: blobs by content, and a folder of links to them for each commit."""

    path: Path
    locks: Path = field(repr=False)

    def commit(self, revision: str) -> str:
        """What a revision stood for when it was downloaded; "" where it was not."""
        ref = self.path / "refs" / revision
        return revision if COMMIT.fullmatch(revision) else ref.read_text().strip() if ref.is_file() else ""

    def snapshot(self, commit: str) -> Path:
        return self.path / "snapshots" / commit

    def blob(self, file: File) -> Path:
        return self.path / "blobs" / file.etag

    def partial(self, file: File) -> Path:
        """Where a file is while it is downloaded."""
        return self.path / "blobs" / f"{file.etag}.incomplete"


def place(name: str) -> Place:
    """The model's part of the cache, which need not be there."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache, own = Path(constants.HF_HUB_CACHE).expanduser(), repo_folder_name(repo_id=name, repo_type="model")
    return Place(cache / own, cache / ".locks" / own)


def folder(name: str, revision: str = "") -> Path | None:
    """Where a model's files are on this machine; None where it was not downloaded, or not in full. Asks nobody.

    Raises:
        HubError: what can be no id or no revision, or no starter.
    """
    if name.startswith(PREFIX):
        return starter(name).path
    revision = checked(name, revision)
    there = place(name)
    commit = there.commit(revision)
    if not COMMIT.fullmatch(commit):
        return None
    here = there.snapshot(commit)
    return here if (here / "config.json").is_file() and _has_weights(here) else None


def _has_weights(path: Path) -> bool:
    """Whether all the files of weights are in a folder."""
    if (path / "model.safetensors").is_file():
        return True
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return False
    shards = _json(index.read_text(encoding="utf-8", errors="replace")).get("weight_map")
    return isinstance(shards, dict) and all((path / str(name)).is_file() for name in set(shards.values()))
