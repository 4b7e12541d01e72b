"""Writing results to disk, whole or not at all."""

import os
import shutil
import tempfile

import keras


def prepare_folder(path, overwrite: bool = False, argument="path") -> str:
    """Makes a folder for results, or refuses one that is in use.

    Nothing in a folder that is in use is deleted, either way.

    Args:
        path: The folder.
        overwrite: Whether files in it may be written over.
        argument: What to call the path in the error.

    Returns:
        The path as a string.

    Raises:
        FileExistsError: If it holds something, and `overwrite` is False.
    """
    path = os.fspath(path)
    if _occupied(path) and not overwrite:
        raise FileExistsError(
            f"`{argument}` must be a new or empty folder, unless overwriting "
            f"is asked for. Received: {argument}={path}"
        )
    os.makedirs(path, exist_ok=True)
    return path


def write_network(
    network: keras.Model, filepath, *args, overwrite=False, **kwargs
) -> None:
    """Exports a network; what is at `filepath` is complete or was there.

    Args:
        network: A built Keras model.
        filepath: Folder or file, as `keras.Model.export` takes it.
        *args: `keras.Model.export`'s.
        overwrite: Whether to replace what is at `filepath`.
        **kwargs: `keras.Model.export`'s.

    Raises:
        FileExistsError: If there is something, and `overwrite` is False.
    """
    filepath = os.path.abspath(os.fspath(filepath))
    if _occupied(filepath) and not overwrite:
        raise FileExistsError(
            "`filepath` must not exist or be an empty folder, unless "
            f"`overwrite=True`. Received: filepath={filepath}"
        )
    folder, name = os.path.split(filepath)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as half:
        target = os.path.join(half, name)
        network.export(target, *args, **kwargs)
        if os.path.isdir(filepath):
            shutil.rmtree(filepath)
        elif os.path.isdir(target) and os.path.exists(filepath):
            os.remove(filepath)
        os.replace(target, filepath)


def _occupied(path):
    if os.path.isdir(path):
        return bool(os.listdir(path))
    return os.path.exists(path)
