"""What other libraries read by number: the batches of the same arrays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpl_keras import UDA, augment, datasets, pipeline

X = np.random.RandomState(0).normal(size=(50, 6, 4)).astype("float32")
LABELED, Y = X[:4] + 1, np.array([0, 1, 1, 0])
VIEWS = augment.Views(augment.GaussianNoise(0.1), augment.GaussianNoise(0.5))


class Batches(keras.utils.PyDataset):
    """As Keras has it: a batch for a number, the last one smaller."""

    def __len__(self):
        return 7

    def __getitem__(self, number):
        return X[8 * number : 8 * number + 8], np.zeros(8)


def huggingface():
    hf = pytest.importorskip("datasets")
    if not hasattr(hf, "Dataset"):
        pytest.skip("another package of this name")
    rows = hf.Dataset.from_dict({"audio": X.tolist(), "id": [*range(50)]})
    return rows, lambda row: np.array(row["audio"], "float32")


def torch_dataset():
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X))
    return torch.utils.data.DataLoader(tensors, batch_size=8).dataset, None


KINDS = {
    "rows": lambda: ([{"x": x} for x in X], lambda row: row["x"]),
    "pairs": lambda: ([(x, 0) for x in X], None),
    "PyDataset": lambda: (Batches(), None),
    "HuggingFace": huggingface,
    "torch": torch_dataset,
}


def batches(unlabeled, **options):
    data = datasets.from_arrays(LABELED, Y, unlabeled, views=VIEWS)
    return pipeline.training_dataset(data, 4, 16, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_the_array(kind):
    items = datasets.Items(*KINDS[kind]())
    assert items.shape == (50, 6, 4) and items.dtype == tf.float32
    np.testing.assert_array_equal(items[[3, 49, 0]], X[[3, 49, 0]])
    want = list(batches(X).take(5))
    for (one, _), (other, _) in zip(want, batches(items).take(5), strict=True):
        for name in ("weak", "strong"):
            np.testing.assert_array_equal(one[name], other[name])
    (later, _) = next(iter(batches(items, start_step=4)))
    np.testing.assert_array_equal(later["weak"], want[4][0]["weak"])


def test_items_train_a_network():
    net = keras.Sequential(
        [keras.Input((6, 4)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model = UDA(net)
    model.compile("adam")
    model.fit(batches(datasets.Items([*X])), verbose=0)
    assert int(model.step.numpy()) == 4  # one pass over 54, in batches of 16


def test_labeled_examples_may_be_items_too():
    labeled = datasets.Items([*LABELED])
    data = datasets.from_arrays(labeled, Y, X, views=VIEWS)
    np.testing.assert_array_equal(data.unlabeled[:], [*X, *LABELED])
    np.testing.assert_array_equal(data.unlabeled[[52, 3]], [LABELED[2], X[3]])
    assert data.unlabeled.checksum() == data.unlabeled.checksum()


class Loader:
    """What tells a DataLoader of torch from its dataset."""

    dataset = batch_sampler = []


@pytest.mark.parametrize(
    ("items", "get", "message"),
    [
        (Loader(), None, r"`items` .*Items\(loader.dataset\).*=Loader"),
        (iter([X]), None, "`items` must have a length and items by number"),
        ([], None, "`items` must hold at least one item"),
        ([{"x": 1}], None, "`get` must make an array of numbers.*{'x': 1}"),
        (["text"], None, "`get` must make an array of numbers"),
        (
            [*X],
            lambda x: x + np.random.normal(),
            "`items` must give the same item .*from_function",
        ),
    ],
)
def test_what_cannot_be_read_by_number(items, get, message):
    with pytest.raises(ValueError, match=message):
        datasets.Items(items, get)


def test_items_of_other_forms_are_named_when_they_are_read():
    items = datasets.Items([np.zeros(3), np.zeros(2)])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"item 1 of \(2,\)"
    ):
        items[1]


@pytest.mark.parametrize("kind", ["PyDataset", "HuggingFace", "torch"])
def test_what_is_no_array_says_how_it_becomes_one(kind):
    items, _ = KINDS[kind]()
    with pytest.raises(ValueError, match=r"`x_unlabeled` .*datasets.Items\(x"):
        datasets.from_arrays(LABELED, Y, items)
