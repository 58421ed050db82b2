"""Paths inside a run folder: plain names are allowed; links, which may lead anywhere, are not."""

import os
import stat
from pathlib import Path, PurePosixPath

from latentseq.errors import DataError
from latentseq.storage.reading import is_plain, quote


def inside(folder: Path, name: str) -> Path:
    """Build the path of a file or folder in a run folder. It need not exist.

    The run folder itself may be a link, because the user named it.

    Args:
        folder: the run folder.
        name: relative path, with ``/`` between folders. It may come from an untrusted file.

    Raises:
        DataError: the name is absolute or leads out of the folder, or a folder on the way is a link.
    """
    if not is_plain(name, folders=True):
        raise DataError(
            f"{folder} cannot be used: {quote(name)} is not the name of a file inside that folder. Do not use it."
        )
    path = folder
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink():
            raise _refusal(path)
    return path


def check_inside(folder: Path) -> None:
    """Check that a folder contains only files and folders, before something is written into it.

    Raises:
        DataError: the folder contains a link, a pipe or a device.
    """
    for parent, folders, files in os.walk(folder):  # Links are not followed.
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise _refusal(path)


def _refusal(path: Path) -> DataError:
    what = "a link" if path.is_symlink() else "neither a file nor a folder"
    return DataError(
        f"{path} is {what}. A run folder holds only files and folders, because a link may lead to anything on this "
        "machine. Replace it by the file or folder itself, or remove it."
    )
