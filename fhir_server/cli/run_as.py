"""Which operating-system user runs PostgreSQL, and where its files may lie: it refuses to run as root.

Started by an ordinary user, that user runs it. Started by root, the user `postgres` or else `nobody` does; folders
that this user cannot reach are not opened up for it, another place is used instead.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANDIDATES = ("postgres", "nobody")
ROOTS_PLACE = Path("/var/lib/clarity")


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user that a server process runs as; `uid` None means the user who started us."""

    uid: int | None = None
    gid: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` switch to this user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, folder: Path) -> None:
        """Make `folder` (created when missing) private to this user."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


def user_for(folder: Path) -> RunAs:
    """Return who runs PostgreSQL over `folder`: the owner of data that is there already, else the first candidate."""
    if os.geteuid() != 0:
        return RunAs()
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return RunAs(owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunAs(entry.pw_uid, entry.pw_gid)
    raise RuntimeError("PostgreSQL does not run as root: start Clarity as another user, or create a user `postgres`.")


def reachable(path: Path, user: RunAs) -> bool:
    """Tell whether `user` may walk down to `path` through all folders above it."""
    if user.uid is None:
        return True
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        status = folder.stat()
        bit = stat.S_IXUSR if status.st_uid == user.uid else stat.S_IXGRP if status.st_gid == user.gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def place(path: Path, user: RunAs, *, lasting: bool) -> Path:
    """Return `path`, or the folder that stands for it where `user` cannot reach `path` (said in `path`/MOVED)."""
    if reachable(path, user):
        return path
    temporary = Path(tempfile.gettempdir()).resolve()
    root = ROOTS_PLACE if lasting and not path.resolve().is_relative_to(temporary) else temporary
    other = root / f"clarity-{_digest(path)}"
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)
    (path / "MOVED").write_text(f"{other}\n", encoding="utf-8")
    return other


def reachable_copy(tree: Path, user: RunAs, *parts: str) -> Path:
    """Return `tree`, or a copy of its `parts` where a closed folder above keeps `user` from it."""
    if reachable(tree / parts[0], user):
        return tree
    copy = ROOTS_PLACE / f"programs-{_digest(tree)}"
    for part in parts:
        if not (copy / part).exists():
            partial = copy / f"{part}.partial-{os.getpid()}"
            shutil.copytree(tree / part, partial)
            try:
                partial.rename(copy / part)
            except OSError:  # another process was first
                shutil.rmtree(partial)
    return copy


def socket_folder(preferred: Path, longest_name: str) -> Path:
    """Return `preferred`, or a short folder below the temporary one: a socket's address holds at most 103 bytes."""
    if len(str(preferred / longest_name).encode()) <= 103:
        return preferred
    return Path(tempfile.gettempdir()) / f"clarity-{_digest(preferred)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
