# pyright: reportUnknownMemberType=false
# The types of huggingface_hub lead to those of tqdm, which has none.
"""A built folder to a data set repository of the model hub: one commit, or none."""

from pathlib import Path

from qwen_sft.errors import OutputError, UsageError
from qwen_sft.text.terminal import one_line

KEPT_BACK = ("rejects.jsonl", "**/.*", ".*")
"""What is not sent: rejected records are raw traces, which may hold what must not be published."""


def check_repository(name: str) -> None:
    """Looks at what a push needs before any work is done for it: a name as the hub has them, and a token.

    Raises:
        UsageError: one of them is missing.
    """
    from huggingface_hub import get_token  # 0.4 s that only a push has to pay
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"cannot push to {name!r}: {one_line(str(error))}") from error
    if get_token() is None:
        raise UsageError(f"cannot push to {name!r} without a token; set HF_TOKEN, or log in with: hf auth login")


def push(folder: Path, repository: str, *, private: bool, message: str) -> str:
    """Sends a built folder in one commit, which takes the data files of an earlier one out; the URL of the commit.

    The repository is made if it is not there. The token is that of `hf auth login` or of the variable HF_TOKEN.

    Args:
        repository: "owner/name", or "name" for one's own.
        private: whether a repository that is made now is private, else it is as its owner has them; one that is there
            stays as it is.

    Raises:
        OutputError: the hub cannot be reached, or refuses. The folder stays as it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of the HTTP library that it has, which changes
    )

    api = HfApi()
    try:
        made = api.create_repo(repository, repo_type="dataset", private=private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=made.repo_id,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=list(KEPT_BACK),
            delete_patterns=["data/*"],
            commit_message=message,
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        why = {
            401: "it asks who you are; log in with: hf auth login",
            403: "your token may not write there; use one that may",
            404: "there is no such owner, or your token does not show it",
        }.get(status, one_line(error.server_message or str(error)))
        raise OutputError(
            f"the model hub refuses the push to {repository!r} ({status}): {why}; {_kept(folder)}"
        ) from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"cannot push to {repository!r}: {one_line(str(error))}; {_kept(folder)}") from error
    return commit.commit_url


def _kept(folder: Path) -> str:
    return f"the set is whole in {str(folder)!r}, to push again"
