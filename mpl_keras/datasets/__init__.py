"""What is trained on: arrays, tables, folders of pictures, TFDS, small sets."""

from mpl_keras.datasets.folders import (
    from_folder,
)
from mpl_keras.datasets.items import (
    Items,
)
from mpl_keras.datasets.label_spreading import (
    LabelSpreading,
    spread_labels,
)
from mpl_keras.datasets.named import (
    images,
)
from mpl_keras.datasets.semi_supervised_data import (
    EvaluationStream,
    SemiSupervisedData,
    evaluation_batches,
    from_arrays,
)
from mpl_keras.datasets.sources import (
    Source,
)
from mpl_keras.datasets.splits import (
    split_labeled,
)
from mpl_keras.datasets.tables import (
    from_dataframe,
)
from mpl_keras.datasets.texts import (
    TextData,
    from_text,
)
from mpl_keras.datasets.tfds import (
    from_tfds,
)
from mpl_keras.datasets.toys import (
    digits,
    two_moons,
)
from mpl_keras.datasets.word_vectors import (
    word_vectors,
)

__all__ = [
    "EvaluationStream",
    "Items",
    "LabelSpreading",
    "SemiSupervisedData",
    "Source",
    "TextData",
    "digits",
    "evaluation_batches",
    "from_arrays",
    "from_dataframe",
    "from_folder",
    "from_text",
    "from_tfds",
    "images",
    "split_labeled",
    "spread_labels",
    "two_moons",
    "word_vectors",
]
