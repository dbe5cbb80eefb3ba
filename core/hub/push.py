"""Sending files to the Hub, as a new repository of the person's own: a model's, or a run's as a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from core import limits
from core.hub.failures import HubError, explaining

TOKENS = "https://huggingface.co/settings/tokens"


def has_own_token() -> bool:
    """Whether HF_TOKEN may be used for visitors: it is set, and they are not strangers to its owner, as in public mode."""
    return bool(os.environ.get("HF_TOKEN")) and not limits.from_environment().public


def push(
    folder: Path,
    name: str,
    token: str = "",
    private: bool = True,
    kind: Literal["model", "dataset"] = "model",
    message: str = "Pruned weights and what was measured on them",
) -> str:
    """Creates the repository `name` (owner/name), puts the folder's files into it, and returns its address.

    Args:
        token: one that may write for that owner, used here and kept nowhere; without it HF_TOKEN, where has_own_token.

    Raises:
        HubError: with the sentence to show: no token or not a valid one, no permission, a name that exists or is none, no network.
    """
    from huggingface_hub import HfApi, constants

    token = token.strip() or (os.environ["HF_TOKEN"] if has_own_token() else "")
    if not token:
        raise HubError(f"A push needs a token that may write. Make one at {TOKENS}, and enter it here.")
    if not token.isascii() or any(character.isspace() for character in token):
        raise HubError(f"What was entered is no token: one has only letters, digits and underscores. Copy it again from {TOKENS}.")
    if name.count("/") != 1:
        raise HubError(f"{name!r} is no name of a repository; it looks like owner/name.")
    api = HfApi(endpoint=constants.ENDPOINT, token=token)
    with refusals(name), explaining(name):
        api.create_repo(name, private=private, repo_type=kind)
    try:
        with refusals(name), explaining(name):
            api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, repo_type=kind)
    except HubError as error:
        raise HubError(f"{error} The repository {name} is there, but not its files.", error.offline) from error
    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """What the Hub may answer to somebody who wants to write."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HubError as error:
        if error.offline:
            where = (
                "HF_HUB_OFFLINE forbids asking the Hub" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} cannot be reached"
            )
            raise HubError(f"{where}: nothing was sent. Check the network and HF_ENDPOINT, and try again.", True) from None
        cause = error.__cause__
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) and cause.response is not None else 0
        owner = name.partition("/")[0]
        match status:
            case 401:
                raise HubError(f"The Hub does not accept the token. Copy it again from {TOKENS}, or make a new one.") from None
            case 403:
                raise HubError(f"The token may not write for {owner}. Make one with the permission to write at {TOKENS}.") from None
            case 409:
                raise HubError(f"{name} exists already, and nothing of it was changed. Choose another name.") from None
        raise
