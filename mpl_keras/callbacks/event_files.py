"""Files of events, as TensorBoard reads them.

A record is one protocol buffer, `Event`. Written here without TensorFlow's
writers: those keep a device waiting, and cannot say that a training has gone
back to an earlier step.
"""

import itertools
import os
import socket
import time
from collections.abc import Mapping

import tensorflow as tf

_counter = itertools.count()
_SCALAR = 1  # of SummaryMetadata's classes of data


class EventFile:
    """A new file of events in a folder.

    TensorBoard is told to forget what other files of the folder say of later
    steps: a training that goes on from a backup has not been there.

    Args:
        folder: Where the file goes; it is made if need be.
        step: The step that the training begins after.

    Raises:
        OSError: If it cannot be written.

    Example:
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with EventFile(folder, step=0) as file:
    ...     file.write(10, scalars={"loss": 1.5})
    >>> os.listdir(folder)[0].split(".")[:3]
    ['events', 'out', 'tfevents']
    """

    def __init__(self, folder: str, step: int):
        # Files are read in the order of their names.
        name = (
            f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}."
            f"{os.getpid()}.{next(_counter)}"
        )
        self._told = set()
        try:
            tf.io.gfile.makedirs(folder)
            self._file = tf.io.TFRecordWriter(os.path.join(folder, name))
            self._add(file_version="brain.Event:2")
            start = tf.compat.v1.SessionLog(
                status=tf.compat.v1.SessionLog.START
            )
            self._add(step=step + 1, session_log=start)
            self._file.flush()
        except (OSError, tf.errors.OpError) as error:
            raise OSError(
                f"Events could not be written to {folder}: {error}"
            ) from error

    def __enter__(self):
        """Itself, to be closed."""
        return self

    def __exit__(self, *error):
        """Closes the file."""
        self.close()

    def write(
        self,
        step: int,
        *,
        scalars: Mapping[str, float] | None = None,
        images: Mapping[str, bytes] | None = None,
        summary: bytes | None = None,
        told: Mapping[str, str] | None = None,
    ) -> None:
        """Writes, so that TensorBoard sees it at once.

        Args:
            step: Where they are drawn.
            scalars: Numbers by tag.
            images: PNG files by tag.
            summary: A `Summary`, serialized.
            told: What numbers are, in words, by tag; it is written once.

        Raises:
            OSError: As of a full disk; or a `tf.errors.OpError`.
        """
        value = tf.compat.v1.Summary.Value
        values = [
            value(
                tag=tag,
                simple_value=float(number),
                metadata=self._metadata(tag, told or {}),
            )
            for tag, number in (scalars or {}).items()
        ] + [
            value(tag=tag, image=_image(png))
            for tag, png in (images or {}).items()
        ]
        summaries = [tf.compat.v1.Summary(value=values)] if values else []
        if summary is not None:
            summaries.append(tf.compat.v1.Summary.FromString(summary))
        for one in summaries:
            self._add(step=step, summary=one)
        self._file.flush()

    def _metadata(self, tag, told):
        """What TensorBoard says of a number; None where it is known."""
        if tag in self._told or tag not in told:
            return None
        self._told.add(tag)
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        # The class makes TensorBoard's fast reader keep the words, too.
        return tf.compat.v1.SummaryMetadata(
            plugin_data=plugin,
            summary_description=told[tag],
            data_class=_SCALAR,
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _add(self, **content):
        event = tf.compat.v1.Event(wall_time=time.time(), **content)
        self._file.write(event.SerializeToString())


def _image(png):
    """The picture as it is; its size stands in its header."""
    width, height = (
        int.from_bytes(png[start : start + 4], "big") for start in (16, 20)
    )
    return tf.compat.v1.Summary.Image(
        width=width, height=height, colorspace=4, encoded_image_string=png
    )
