"""Notebooks as pages: cells as they are, and the outputs that they hold.

Nothing is run here: `docs/run_notebooks.py` does that.
"""

import base64
import json
import pathlib

from myst_parser.parsers.sphinx_ import MystParser

LANGUAGE = "python"


def _fence(text, language, classes=""):
    ticks = "```"
    head = f"{{.{classes}}}\n" if classes else ""
    return f"{head}{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def _output(output, number, images):
    """Markdown of one output of a cell."""
    data = output.get("data", {})
    if "image/png" in data:
        path = images / f"{number}.png"
        path.write_bytes(base64.b64decode("".join(data["image/png"])))
        return f"![Output of the cell above]({path.name})\n"
    text = output.get("text") or data.get("text/plain") or ""
    text = "".join(text).rstrip()
    return _fence(text, "text", "output") if text else ""


def _joined(outputs):
    """Outputs, of which printed lines are one."""
    joined = []
    for output in outputs:
        output = {**output, "text": "".join(output.get("text", ""))}
        stream = output["output_type"] == "stream"
        if stream and joined and joined[-1]["output_type"] == "stream":
            joined[-1]["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def as_markdown(notebook, images):
    """A notebook's cells and outputs as one Markdown text.

    Args:
        notebook: What the file holds, as `json.loads` gives it.
        images: Folder for the pictures among the outputs.
    """
    parts = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n")
        elif source.strip():
            parts.append(_fence(source, LANGUAGE))
            parts += [
                _output(output, f"{number}_{i}", images)
                for i, output in enumerate(_joined(cell["outputs"]))
            ]
    return "\n".join(parts)


class NotebookParser(MystParser):
    """Reads `.ipynb` files as MyST Markdown."""

    supported = ("ipynb",)

    def parse(self, inputstring, document):
        """Called by Sphinx for each notebook."""
        images = pathlib.Path(document["source"]).parent
        text = as_markdown(json.loads(inputstring), images)
        super().parse(text, document)


def setup(app):
    """Called by Sphinx."""
    app.add_source_parser(NotebookParser)
    app.add_source_suffix(".ipynb", "ipynb")
    return {"parallel_read_safe": True}
