"""A backbone and a tokenizer of KerasHub, where it is installed."""

import keras
import numpy as np
import pytest

import mpl_keras as mk
from mpl_keras import datasets, export, feedback, losses, pipeline

TEXTS = "a good film,very bad film,good good,bad worse,the good,the bad"
TEXTS = TEXTS.split(",")


@pytest.mark.slow
def test_a_small_bert_is_taught_and_exported(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    words = sorted({word for text in TEXTS for word in text.split()})
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
        vocabulary=["[PAD]", "[UNK]", *words], sequence_length=8
    )
    data = datasets.from_text(
        TEXTS[:4], ["+", "-", "+", "-"], TEXTS[4:], tokenizer=tokenizer
    )
    assert data.vocabulary_size == 2 + len(words)

    def make_network():
        ids = keras.Input((8,), dtype="int32")
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=data.vocabulary_size,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=8,
        )
        inputs = {
            "token_ids": ids,
            "segment_ids": keras.ops.zeros_like(ids),
            "padding_mask": ids != 0,
        }
        x = backbone(inputs)["pooled_output"]
        return keras.Model(ids, keras.layers.Dense(2)(x))

    model = mk.MetaPseudoLabels(
        make_network(),
        make_network(),
        consistency=losses.ConsistencyLoss(),
        feedback=feedback.HypergradientFeedback(0.1),
    )
    model.compile(
        teacher_optimizer=keras.optimizers.AdamW(1e-3),
        student_optimizer=keras.optimizers.AdamW(1e-3),
        metrics=["accuracy"],
    )
    batches = pipeline.training_dataset(data, 4, 6, steps_per_epoch=5)
    history = model.fit(batches, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["bad_steps"] == [0]
    for format in ("tf_saved_model", "keras"):
        path = tmp_path / f"classifier{export.suffix(format)}"
        export.write_classifier(model, path, data, format=format)
        assert set(export.load(path).names(TEXTS)) <= {"+", "-"}
