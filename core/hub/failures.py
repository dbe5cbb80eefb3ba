"""What can go wrong between here and the Hub, said to the person who asked: what happened, and what to do."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Kind = Literal["model", "data set"]
FALLBACK: dict[Kind, str] = {"model": "choose a starter model", "data set": "choose bundled data"}
PAGE: dict[Kind, str] = {"model": "", "data set": "datasets/"}
FULL = (errno.ENOSPC, errno.EDQUOT)


class HubError(RuntimeError):
    """Something of the Hub cannot be had; the message says why and what to do. `offline` where the Hub could not be reached."""

    def __init__(self, message: str, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline


@contextmanager
def explaining(
    name: str = "", kind: Kind = "model", revision: str = "", raises: type[HubError] = HubError, partial: bool = False
) -> Iterator[None]:
    """Turns what huggingface_hub, the network and the disk raise within the `with` into `raises`.

    Args:
        name: the id that was asked for; empty for a search.
        partial: whether what was downloaded so far is kept, so that trying again goes on from there.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise raises(f"{name!r} is no id of a Hub {kind}; it looks like owner/name.") from error
    except errors.SafetensorsParsingError as error:
        raise raises(f"A safetensors file of {name} cannot be read: its header is damaged. Choose another revision.") from error
    except (errors.LocalEntryNotFoundError, errors.RevisionResolutionError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, (httpx2.HTTPError, OSError)) else error
        raise _explained(cause, name, kind, revision, raises, partial) from error
    except (httpx2.HTTPError, OSError, json.JSONDecodeError) as error:
        raise _explained(error, name, kind, revision, raises, partial) from error


def _explained(error: BaseException, name: str, kind: Kind, revision: str, raises: type[HubError], partial: bool) -> HubError:
    import httpx2
    from huggingface_hub import constants, errors

    hub, instead, asked = constants.ENDPOINT, FALLBACK[kind], name or "an answer"
    not_here = f"{name} is not, or not in full, in the cache {constants.HF_HUB_CACHE}"
    again = "try again: it goes on from what is already here" if partial else "try again"
    match error:
        case errors.GatedRepoError():
            page = f"{hub}/{PAGE[kind]}{name}"
            return raises(
                f"{name} is gated: accept its terms at {page}, then set HF_TOKEN to a token of that account and try again."
            )
        case errors.DisabledRepoError():
            return raises(f"{hub} has disabled {name}. Choose another {kind}.")
        case errors.RevisionNotFoundError():
            return raises(
                f"{name} has no revision {revision!r}. Leave it empty for the newest, or give a branch, a tag or a commit."
            )
        case errors.RepositoryNotFoundError():
            return raises(f"There is no {kind} {name} at {hub}. Check the id; if it is private, set HF_TOKEN.")
        case errors.RemoteEntryNotFoundError():
            return raises(f"{name} has not all the files that it lists. Choose another revision.")
        case errors.HfHubHTTPError():
            return raises(_answered(error.response.status_code, error.response.headers, asked, kind, again))
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled() if constants.HF_HUB_OFFLINE:
            away = f"{not_here}, and HF_HUB_OFFLINE forbids downloading it" if name else "HF_HUB_OFFLINE forbids asking the Hub"
            copy = ", copy the cache from a machine that has it," if name else ""
            return raises(f"{away}. Unset HF_HUB_OFFLINE{copy} or {instead}.", True)
        case httpx2.RemoteProtocolError() | httpx2.ReadError() | httpx2.ReadTimeout() if partial:
            return raises(f"The connection to {hub} was cut while {name} was downloaded. Check the network and {again}.", True)
        case httpx2.TimeoutException():
            return raises(f"{hub} does not answer. Check the network and HF_ENDPOINT, {again}, or {instead}.", True)
        case httpx2.TransportError() | errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            away = f", and {not_here}" if name else ""
            return raises(f"{hub} cannot be reached{away}. Check the network and HF_ENDPOINT, or {instead}.", True)
        case json.JSONDecodeError() | errors.FileMetadataError():
            return raises(f"{hub} does not answer as a Hub does. Check HF_ENDPOINT and the network's proxy.")
        case OSError() if error.errno in FULL:
            where = constants.HF_HUB_CACHE
            return raises(f"The disk with the cache {where} is full. Free some space, or set HF_HOME to another disk, and {again}.")
        case OSError():
            said = f"The cache {constants.HF_HUB_CACHE} cannot be used ({error.strerror or error})."
            return raises(f"{said} Check its permissions, or set HF_HOME to a folder of your own.")
    return raises(f"{hub} did not give {asked}: {error}")


def _answered(status: int, headers: object, asked: str, kind: Kind, again: str) -> str:
    """A sentence for an HTTP status that has no error of its own."""
    from huggingface_hub import constants
    from huggingface_hub.utils import parse_ratelimit_headers

    hub, instead = constants.ENDPOINT, FALLBACK[kind]
    if status == 401:
        return f"{hub} does not accept the token in HF_TOKEN. Set it to a valid one, or unset it for what is public."
    if status == 403:
        return f"{hub} forbids {asked}: the token in HF_TOKEN has no permission to read it. Use a token that has."
    if status == 429:
        limit = parse_ratelimit_headers(headers)  # type: ignore[arg-type]
        wait = f"in {limit.reset_in_seconds} seconds" if limit and limit.reset_in_seconds else "in a few minutes"
        return f"{hub} was asked too often and wants a rest: {again} {wait}; with HF_TOKEN set, more is allowed."
    if status >= 500:
        return f"{hub} has a problem of its own (error {status}): {again} in a few minutes, or {instead}."
    return f"{hub} did not give {asked} (error {status}). Check the id and HF_ENDPOINT."
