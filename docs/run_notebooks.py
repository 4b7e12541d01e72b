"""Runs the notebooks of the documentation, and keeps their outputs in them.

    pip install nbclient ipykernel
    python docs/run_notebooks.py [docs/notebooks/one.ipynb ...]

The site shows the outputs that the files hold; a slow test runs the cells.
"""

import pathlib
import tempfile

import nbclient
import nbformat
from absl import app

FOLDER = pathlib.Path(__file__).parent / "notebooks"
# What says when and where a notebook was run.
NOISE = "ExecuteTime", "execution"


def _outputs(cell):
    """Outputs without what TensorFlow says of the machine."""
    for output in cell.outputs:
        if output.get("name") == "stderr":
            continue
        if output.output_type == "stream":
            lines = output.text.splitlines(keepends=True)
            output.text = "".join(x for x in lines if ":tensorflow:" not in x)
            if not output.text:
                continue
        yield output


def run(path):
    """Runs a notebook and writes it back."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:  # for files that it writes
        place = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, resources=place).execute()
    for cell in notebook.cells:
        for name in NOISE:
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = list(_outputs(cell))
    notebook.metadata = {
        "kernelspec": {
            **{"display_name": "Python 3", "language": "python"},
            "name": "python3",
        }
    }
    nbformat.write(notebook, path)
    print(f"ran {path}")


def main(argv):
    """Runs those that are named, or all."""
    for path in argv[1:] or sorted(FOLDER.glob("*.ipynb")):
        run(pathlib.Path(path))


if __name__ == "__main__":
    app.run(main)
