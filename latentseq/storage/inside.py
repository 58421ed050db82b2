"""What lies inside a folder of ours: reached by plain names and never through a link, which may lead anywhere."""

import os
import stat
from pathlib import Path, PurePosixPath

from latentseq.errors import DataError
from latentseq.storage.reading import is_plain, shown


def inside(folder: Path, name: str) -> Path:
    """The path of something in a folder, which need not exist.

    The folder itself is what the user named, and may be a link.

    Args:
        folder: of a run.
        name: relative to it, with ``/`` between folders; it may come from a file.

    Raises:
        DataError: the name is absolute or leads out of the folder, or a link stands on the way.
    """
    if not is_plain(name, folders=True):
        raise DataError(
            f"{folder} cannot be used: {shown(name)} is not the name of a file inside of that folder. Do not use it."
        )
    path = folder
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink():
            raise _refusal(path)
    return path


def check_inside(folder: Path) -> None:
    """Refuse a folder that is to be written into where something below it is neither a file nor a folder.

    Raises:
        DataError: it holds a link, a pipe or a device.
    """
    for above, folders, files in os.walk(folder):  # It goes into no link.
        for name in sorted([*folders, *files]):
            path = Path(above, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise _refusal(path)


def _refusal(path: Path) -> DataError:
    what = "a link" if path.is_symlink() else "neither a file nor a folder"
    return DataError(
        f"{path} is {what}. A run folder holds files and folders only, since a link may lead to anything on this "
        "machine. Put the file or folder itself in its place, or remove it."
    )
