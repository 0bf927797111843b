"""`push_to_hub` of models, libraries and data sets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from .upload import check_may_ask, check_repo_ids, prepare, upload


class PushToHubMixin:
    """Mixin that saves to a temporary folder and uploads that, with a card that states what the folder holds."""

    kind: ClassVar[str]
    """One of `publishing.kinds.KINDS`."""
    license: str | None = None
    """Terms that the card states."""

    def save_to_publish(self: Any, folder: Path, is_private: bool) -> None:
        """Write to a folder, which does not exist, what is uploaded.

        Args:
            folder: The folder.
            is_private: Whether nobody else may see it.
        """
        self.save_pretrained(folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Upload to the Hub in one commit, with a card.

        A model is uploaded as it is in memory, so that its card states no measured number; `infinitedance publish`
        uploads a folder with its own card. Of a data set all configurations are uploaded.

        Args:
            repo_id: `owner/name` on the Hub.
            private: Whether a repository that is made for it is closed to others.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.
            commit_message: What the commit says.

        Returns:
            The address of the repository.

        Raises:
            ConnectionError: As `publishing.upload.upload`.
            PermissionError: As `publishing.upload.upload`.
            ValueError: As `publishing.upload.upload`, or if terms forbid to make it public.
        """
        check_repo_ids([repo_id])
        check_may_ask(repo_id, token)
        with tempfile.TemporaryDirectory(prefix="infinitedance-") as temporary:
            folder = Path(temporary) / self.kind
            self.save_to_publish(folder, bool(private))
            publication = prepare(self.kind, folder, repo_id, license=self.license)
            return upload(publication, private=private, token=token, commit_message=commit_message)
