"""Installs mpl_keras."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "mpl_keras/__init__.py").read_text()
).group(1)

# What the commands draw and show.
REPORT = ["jinja2", "matplotlib", "tensorboard"]
# Data frames and scikit-learn's protocol, data and photographs besides.
EXAMPLES = [*REPORT, "pandas", "scikit-learn"]
EXPORT = ["ai-edge-litert", "onnx", "onnxruntime", "tf2onnx"]
TUNE = ["keras-tuner"]
DOCS = ["furo", "latex2mathml", "myst-parser", "sphinx>=8"]
TYPING = ["mypy", "pyright[nodejs]"]

setup(
    name="mpl_keras",
    version=VERSION,
    description="Meta Pseudo Labels and UDA for Keras 3 on TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["mpl_keras", "mpl_keras.*"]),
    package_data={
        "mpl_keras": [
            "py.typed",
            "datasets/digits.npz",
            "report/templates/*.html",
        ]
    },
    entry_points={"console_scripts": ["mpl-keras = mpl_keras.commands:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "absl-py",
        "filelock",
        # tensorflow-datasets imports it without saying so.
        "importlib_resources",
        "keras>=3.15",
        "keras-cv",
        "pillow",
        "tensorflow>=2.20",
        "tensorflow-datasets",
    ],
    extras_require={
        "benchmarks": EXAMPLES,
        "docs": DOCS,
        "examples": EXAMPLES,
        "export": EXPORT,
        "report": REPORT,
        "tune": TUNE,
        "typing": TYPING,
        "tests": [
            *EXAMPLES,
            *EXPORT,
            *TUNE,
            "build",
            "pytest",
            "pytest-xdist>=3.8",
            "ruff",
        ],
    },
    project_urls={
        "Meta Pseudo Labels (paper)": "https://arxiv.org/abs/2003.10580",
        "UDA (paper)": "https://arxiv.org/abs/1904.12848",
    },
    keywords=[
        *("semi-supervised learning", "meta pseudo labels", "UDA"),
        *("pseudo labels", "few labels", "consistency training"),
        *("FixMatch", "keras", "tensorflow", "image classification"),
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
