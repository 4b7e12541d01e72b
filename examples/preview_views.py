"""A sheet of pictures: originals, and weak and strong views of each.

Look at it before you train: the class must still be seen in every strong view.

    python examples/preview_views.py --views=cifar --output=preview.png
    python examples/preview_views.py --views=imagenet --folder=my_pictures
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import matplotlib
import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from sklearn import datasets as sklearn_datasets

import mpl_keras
from mpl_keras import augment
from mpl_keras.images import images

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "views",
    "cifar",
    ["cifar", "svhn", "imagenet", "small_shifts", "digits"],
    "Which views.",
)
flags.DEFINE_string(
    "folder",
    None,
    "Folder of image files; by default pieces of two photographs that come "
    "with scikit-learn, and its digits for --views=digits.",
)
flags.DEFINE_integer(
    "size",
    None,
    "Side of the views in pixels; by default 224 for imagenet, 8 for digits, "
    "and 32 for the others.",
    lower_bound=8,
)
flags.DEFINE_integer("rows", 6, "Images.", lower_bound=1, upper_bound=64)
flags.DEFINE_integer("columns", 4, "Views of each kind.", 1, 16)
flags.DEFINE_integer("seed", 0, "Of images and views.", lower_bound=0)
flags.DEFINE_string("output", "preview.png", "The file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output if it exists.")

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def check_output():
    """Raises unless the file can be written."""
    output = pathlib.Path(FLAGS.output)
    if output.suffix.lower() not in (".png", ".pdf", ".jpg", ".svg"):
        raise ValueError(
            "--output must end in .png, .pdf, .jpg or .svg. "
            f"Received: {FLAGS.output}"
        )
    if not output.parent.is_dir():
        raise ValueError(f"--output: there is no folder {output.parent}")
    if output.exists() and not FLAGS.overwrite:
        raise ValueError(
            f"{FLAGS.output} exists already. Give another --output, or "
            "--overwrite to replace it."
        )


def sizes():
    """Sides in pixels of the views, and of the images they are made from."""
    size = FLAGS.size
    if FLAGS.views == "digits":
        if FLAGS.folder is not None or size not in (None, 8):
            raise ValueError(
                "--views=digits is for scikit-learn's digits, 8x8: leave out "
                "--folder and --size."
            )
        return 8, 8
    if FLAGS.views == "imagenet":
        size = size or 224
        # As usual for 224.
        return size, round(size * 256 / 224)
    return size or 32, size or 32


def load_files(folder, size):
    """Squares from the middle of the first image files of a folder."""
    if not os.path.isdir(folder):
        raise ValueError(f"--folder must be a folder. Received: {folder}")
    files = sorted(
        file
        for file in pathlib.Path(folder).rglob("*")
        if file.suffix.lower() in ENDINGS
    )
    if not files:
        raise ValueError(f"--folder has no files {ENDINGS}: {folder}")
    if len(files) > FLAGS.rows:
        order = np.random.default_rng(FLAGS.seed).permutation(len(files))
        files = [files[index] for index in sorted(order[: FLAGS.rows])]
    seen = []
    for file in files:
        contents = file.read_bytes()
        try:
            special = images.inspect(contents).special
            image = images.decode(contents, tf.constant(special), 3)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(f"{file} cannot be read as an image") from error
        seen.append(square(image, size))
    return np.stack(seen)


def square(image, size):
    """The largest square in the middle, resized, uint8."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = tf.image.resize(
        image[top : top + side, left : left + side],
        (size, size),
        antialias=True,
    )
    return tf.saturate_cast(tf.round(image), tf.uint8).numpy()


def load_tiles(size):
    """Pieces of scikit-learn's photographs, of different scales."""
    photographs = sklearn_datasets.load_sample_images().images
    rng = np.random.default_rng(FLAGS.seed)
    images = []
    for row in range(FLAGS.rows):
        photograph = photographs[row % len(photographs)]
        # Hundreds of pixels, made smaller, look like a photograph of a thing.
        side = int(rng.integers(max(size, 200), 420))
        top = rng.integers(photograph.shape[0] - side + 1)
        left = rng.integers(photograph.shape[1] - side + 1)
        piece = photograph[top : top + side, left : left + side]
        images.append(square(piece, size))
    return np.stack(images)


def load():
    """Images, and the views to show of them."""
    size, canvas = sizes()
    if FLAGS.views == "digits":
        data = mpl_keras.datasets.digits(20, seed=FLAGS.seed)
        return data.unlabeled[: FLAGS.rows], data.views
    views = augment.named_views(FLAGS.views, size, size)
    if FLAGS.folder is not None:
        return load_files(FLAGS.folder, canvas), views
    return load_tiles(canvas), views


def draw(images, views):
    """The sheet: a row for each image."""
    columns = [("original", images)]
    for kind in ("weak", "strong"):
        view = getattr(views, kind)
        for index in range(FLAGS.columns):
            seen = view(images, tf.constant([FLAGS.seed, len(columns)]))
            columns.append((f"{kind} {index + 1}", np.asarray(seen)))
    figure, axes = plt.subplots(
        len(images),
        len(columns),
        figsize=(1.25 * len(columns), 1.25 * len(images) + 0.7),
        squeeze=False,
        layout="constrained",
    )
    for column, (title, shown) in enumerate(columns):
        axes[0, column].set_title(title, fontsize=9)
        for axis, image in zip(axes[:, column], shown, strict=True):
            show(axis, image)
    title = f"--views={FLAGS.views}, {shown.shape[1]} pixels"
    if shown.shape != images.shape:
        title += f", of images of {images.shape[1]}"
    figure.suptitle(title)
    return figure


def show(axis, image):
    """One image; its pixels are seen as such."""
    high = 255 if image.dtype == np.uint8 else 1
    axis.imshow(
        image.squeeze(-1) if image.shape[-1] == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=high,
        interpolation="nearest",
    )
    axis.set_xticks([])
    axis.set_yticks([])


def main(argv):
    """Loads, draws and writes."""
    logging.set_verbosity(logging.WARNING)
    if argv[1:]:
        sys.exit(f"{argv[0]}: unknown arguments {argv[1:]}")
    try:
        check_output()
        images, views = load()
        figure = draw(images, views)
        figure.savefig(FLAGS.output, dpi=130)
    except (ValueError, OSError) as error:
        sys.exit(f"{argv[0]}: {error}")
    print(f"Wrote {FLAGS.output}: {len(images)} images.")


if __name__ == "__main__":
    app.run(main)
