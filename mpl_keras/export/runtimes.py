"""LiteRT and ONNX Runtime, which run networks without TensorFlow.

They are native code of others, and may end the process that calls them: what
was just written is tried in a process of its own. That process runs this file
alone, so that it starts at once; so this file imports nothing of the library.
"""

import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np


class LiteRT:
    """A LiteRT file, from uint8 images to probabilities.

    Args:
        path: The file.

    Example:
    >>> LiteRT("nowhere.tflite")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: Could not open 'nowhere.tflite'...
    """

    def __init__(self, path: str):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            from tensorflow.lite import Interpreter
        self._interpreter = Interpreter(path, num_threads=os.cpu_count())
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of a batch of any size."""
        if self._shape != images.shape:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


class ONNX:
    """An ONNX file, from uint8 images to probabilities.

    Args:
        path: The file.

    Attributes:
        metadata: What is known about the network, texts by name.

    Raises:
        ImportError: ONNX Runtime is not installed.

    Example:
    >>> ONNX("nowhere.onnx")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile: ...
    """

    def __init__(self, path: str):
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                "ONNX files need onnxruntime: pip install onnxruntime"
            ) from error
        self._session = onnxruntime.InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self._name = self._session.get_inputs()[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of a batch of any size."""
        return self._session.run(None, {self._name: images})[0]


# What runs a format.
RUNTIMES = {"litert": LiteRT, "litert_int8": LiteRT, "onnx": ONNX}


def run_apart(format: str, path: Any, images: np.ndarray) -> np.ndarray:
    """Runs a file in a process of its own, which may end as it likes.

    Args:
        format: One of `RUNTIMES`.
        path: The file.
        images: uint8, as it takes them.

    Returns:
        Probabilities, float32 [N, number of classes].

    Raises:
        RuntimeError: It could not be run; says how the process ended.

    Example:
    >>> images = np.zeros((1, 8, 8, 1), "uint8")
    >>> run_apart("litert", "a.tflite", images)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    RuntimeError: ValueError: Could not open 'a.tflite'...
    """
    with tempfile.TemporaryDirectory() as folder:
        given, result = f"{folder}/images.npy", f"{folder}/result.npy"
        np.save(given, images)
        done = subprocess.run(
            [sys.executable, "-P", __file__, format, path, given, result],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode == 0:
            return np.load(result)
    said = done.stderr.decode(errors="backslashreplace").strip().splitlines()
    if done.returncode > 0:
        raise RuntimeError(said[-1] if said else f"exit {done.returncode}")
    try:
        ended_by = signal.Signals(-done.returncode).name
    except ValueError:
        ended_by = f"signal {-done.returncode}"
    raise RuntimeError(f"it ended the process that ran it, by {ended_by}")


def _main(format, path, given, result):
    """In the process of its own."""
    np.save(result, RUNTIMES[format](path)(np.load(given)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
