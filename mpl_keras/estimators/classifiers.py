"""The classifiers: two networks that learn together, and one alone."""

from typing import Any, Literal

import numpy as np

from mpl_keras import augment, feedback, recipes
from mpl_keras.estimators.semi_supervised_classifier import (
    Network,
    SemiSupervisedClassifier,
    seeded,
    steps_at_once,
)
from mpl_keras.models.meta_pseudo_labels import MetaPseudoLabels
from mpl_keras.models.uda import UDA

Alignment = Literal["uniform", "labeled", "labeled_predictions", "learned"]
RandomState = int | np.random.RandomState | None


class UDAClassifier(SemiSupervisedClassifier):
    """UDA as scikit-learn's classifiers are: few labels, many rows.

    Example:
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 12 == 0, y, -1)
    >>> model = UDAClassifier(steps=100, random_state=0).fit(X, few)
    >>> model.classes_, bool(model.score(X, y) > 0.8)
    (array([0, 1, 2]), True)

    Args:
        network: What is trained. None: a dense network, for features. A name
            for `networks.make`, such as "compact_cnn", for images in [0, 255].
            Or a function `(input_shape, num_classes)` that makes a built Keras
            model from examples to logits; no lambda, if the classifier is to be
            pickled.
        hidden_units: Units of each hidden layer of the dense network.
        steps: Training steps.
        learning_rate: At its peak, of SGD with momentum; it grows at first,
            then falls to 0.
        labeled_batch_size: Labeled rows of a step.
        unlabeled_batch_size: Rows of a step whose labels are not used.
        standardize: Whether features are brought to mean 0 and standard
            deviation 1 first. Not done with images.
        weak_noise: Noise on the rows that are labeled, in standard deviations
            of each feature.
        strong_noise: Noise on the rows that are to be answered as those.
        views: `augment.Views` in place of the noise; they see standardised
            rows. None, with images: `augment.default_views`.
        consistency_weight: Weight of the unlabeled rows at the end of its ramp.
        temperature: Below 1 sharpens the targets of unlabeled rows.
        threshold: Confidence below which an unlabeled row does not count. None
            is 0.8 for two classes and 0.6 for more.
        distribution_alignment: None, or which shares of the classes unlabeled
            rows are known to have: "uniform", those of the "labeled" rows,
            "labeled_predictions" or "learned"; see `losses.ConsistencyLoss`.
        label_spreading: Whether the targets of unlabeled rows are multiplied by
            what their nearest neighbours say, see `datasets.spread_labels`.
        weight_decay: Of the network; a function makes its own.
        ema_momentum: Momentum of the average that predicts.
        random_state: An integer makes everything repeatable; None draws from
            numpy's random numbers.
        verbose: As Keras's: 0 is silent, 1 shows a bar, 2 a line.

    Attributes:
        classes_: The classes, in the order of `predict_proba`.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where `X` is a data frame.
        model_: The `UDA` model, as trained; `model_.averaged` is the Keras
            network that predicts, from standardised rows to logits.
        mean_: Of each feature.
        scale_: Standard deviation of each feature.
    """

    def __init__(
        self,
        network: str | Network | None = None,
        *,
        hidden_units: tuple[int, ...] = (64, 64),
        steps: int = 1200,
        learning_rate: float = 0.1,
        labeled_batch_size: int = 32,
        unlabeled_batch_size: int = 64,
        standardize: bool = True,
        weak_noise: float = 0.1,
        strong_noise: float = 0.5,
        views: augment.Views | None = None,
        consistency_weight: float = 3.0,
        temperature: float = 0.7,
        threshold: float | None = None,
        distribution_alignment: Alignment | None = None,
        label_spreading: bool = True,
        weight_decay: float = 2.5e-4,
        ema_momentum: float = 0.99,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.network = network
        self.hidden_units = hidden_units
        self.steps = steps
        self.learning_rate = learning_rate
        self.labeled_batch_size = labeled_batch_size
        self.unlabeled_batch_size = unlabeled_batch_size
        self.standardize = standardize
        self.weak_noise = weak_noise
        self.strong_noise = strong_noise
        self.views = views
        self.consistency_weight = consistency_weight
        self.temperature = temperature
        self.threshold = threshold
        self.distribution_alignment = distribution_alignment
        self.label_spreading = label_spreading
        self.weight_decay = weight_decay
        self.ema_momentum = ema_momentum
        self.random_state = random_state
        self.verbose = verbose

    def _model(
        self, recipe: recipes.Recipe, shape: tuple[int, ...], seed: int
    ) -> Any:
        """A compiled `UDA`."""
        with seeded(seed):
            network = self._network(shape, recipe.weight_decay)
            model = UDA(network, **recipes.loss_arguments(recipe))
        model.compile(
            recipes.make_optimizer(recipe, "teacher"),
            steps_per_execution=steps_at_once(recipe.steps),
        )
        return model


class MetaPseudoLabelsClassifier(SemiSupervisedClassifier):
    """Meta Pseudo Labels as scikit-learn's classifiers are.

    A teacher labels the rows, a student learns from these pseudo labels, and
    how the student fares on labeled rows is fed back to the teacher. The
    teacher's average predicts: in a training as short as this one the student
    is still behind it.

    Example:
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 12 == 0, y, -1)
    >>> model = MetaPseudoLabelsClassifier(steps=200, random_state=0)
    >>> bool(model.fit(X, few).score(X, y) > 0.8)
    True

    Args:
        network: As of `UDAClassifier`; a function is called twice, for teacher
            and student.
        hidden_units: As of `UDAClassifier`, as all that is not said here.
        steps: Training steps.
        learning_rate: Of teacher and student; the student waits at first.
        labeled_batch_size: Labeled rows of a step.
        unlabeled_batch_size: Rows of a step whose labels are not used.
        standardize: Whether features are standardised.
        weak_noise: Noise on the rows that the teacher labels.
        strong_noise: Noise on the rows that the student learns from.
        views: `augment.Views` in place of the noise.
        consistency_weight: Of the teacher's own loss.
        temperature: Of the teacher's own loss.
        threshold: Of the teacher's own loss.
        distribution_alignment: Of the teacher's own loss.
        label_spreading: Of the teacher's own loss.
        feedback_weight: Weight of the student's reaction, a
            `feedback.HypergradientFeedback`; 0 is without.
        average_of: Whose average predicts, the "student"'s or the "teacher"'s.
        weight_decay: Of both networks.
        ema_momentum: Momentum of the average that predicts.
        random_state: As of `UDAClassifier`.
        verbose: As Keras's.

    Attributes:
        classes_: The classes, in the order of `predict_proba`.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where `X` is a data frame.
        model_: The `MetaPseudoLabels` model, as trained.
        mean_: Of each feature.
        scale_: Standard deviation of each feature.
    """

    def __init__(
        self,
        network: str | Network | None = None,
        *,
        hidden_units: tuple[int, ...] = (64, 64),
        steps: int = 1200,
        learning_rate: float = 0.1,
        labeled_batch_size: int = 32,
        unlabeled_batch_size: int = 64,
        standardize: bool = True,
        weak_noise: float = 0.1,
        strong_noise: float = 0.5,
        views: augment.Views | None = None,
        consistency_weight: float = 3.0,
        temperature: float = 0.7,
        threshold: float | None = None,
        distribution_alignment: Alignment | None = None,
        label_spreading: bool = True,
        feedback_weight: float = 0.03,
        average_of: Literal["student", "teacher"] = "teacher",
        weight_decay: float = 2.5e-4,
        ema_momentum: float = 0.99,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.network = network
        self.hidden_units = hidden_units
        self.steps = steps
        self.learning_rate = learning_rate
        self.labeled_batch_size = labeled_batch_size
        self.unlabeled_batch_size = unlabeled_batch_size
        self.standardize = standardize
        self.weak_noise = weak_noise
        self.strong_noise = strong_noise
        self.views = views
        self.consistency_weight = consistency_weight
        self.temperature = temperature
        self.threshold = threshold
        self.distribution_alignment = distribution_alignment
        self.label_spreading = label_spreading
        self.feedback_weight = feedback_weight
        self.average_of = average_of
        self.weight_decay = weight_decay
        self.ema_momentum = ema_momentum
        self.random_state = random_state
        self.verbose = verbose

    def _model(
        self, recipe: recipes.Recipe, shape: tuple[int, ...], seed: int
    ) -> Any:
        """A compiled `MetaPseudoLabels`."""
        reply = None
        if self.feedback_weight != 0:
            reply = feedback.HypergradientFeedback(self.feedback_weight)
        with seeded(seed):
            model = MetaPseudoLabels(
                teacher=self._network(shape, recipe.weight_decay),
                student=self._network(shape, recipe.weight_decay),
                feedback=reply,
                average_of=self.average_of,
                seed=seed % (2**31 - 1),
                **recipes.loss_arguments(recipe),
            )
        model.compile(
            teacher_optimizer=recipes.make_optimizer(recipe, "teacher"),
            student_optimizer=recipes.make_optimizer(recipe, "student"),
            steps_per_execution=steps_at_once(recipe.steps),
        )
        return model
