"""How Sphinx builds the documentation: `make docs`."""

import os
import pathlib
import re
import sys

# Docstrings are read from the package; TensorFlow stays quiet meanwhile.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
DOCS = pathlib.Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "extensions")]

import mpl_keras  # noqa: E402

project = "mpl_keras"
author = "The authors of mpl_keras"
project_copyright = author
release = version = mpl_keras.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # Ours, in docs/extensions.
    "docstrings",
    "mathematics",
    "notebooks",
]
exclude_patterns = ["_build"]
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = f"mpl_keras {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0072b2",
        "color-brand-content": "#0067a1",
    },
    "dark_css_variables": {
        "color-brand-primary": "#56b4e9",
        "color-brand-content": "#56b4e9",
    },
}
pygments_style = "default"
pygments_dark_style = "github-dark"

# MyST: headings are targets of links, `$x$` is mathematics.
myst_enable_extensions = ["attrs_block", "attrs_inline", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "alphabetical"
autodoc_typehints = "description"  # beside the text of each argument
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 60
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    "Reference",
]

WITHOUT_THE_SITE = re.compile(r"^<!-- without the site -->\n.*\n\n?", re.M)

# A picture for light and dark pages as GitHub shows it, and as furo does.
PICTURE = re.compile(
    r'<picture><source media="\(prefers-color-scheme: dark\)" '
    r'srcset="(?P<name>[^"]+)-dark(?P<ending>\.\w+)">'
    r'<img src="(?P=name)-light(?P=ending)"(?P<half> class="half")? '
    r'width="(?P<width>\d+)" alt="(?P<alt>[^"]*)"></picture>\n'
)


def pictures(match):
    """The directives of a picture."""
    size = "" if match["half"] else f":width: {match['width']}px\n"
    half = " half" if match["half"] else ""
    return "".join(
        f"```{{image}} {match['name']}-{kind}{match['ending']}\n"
        f":class: only-{kind}{half}\n{size}:alt: {match['alt']}\n```\n"
        for kind in ("light", "dark")
    )


def complete(app, docname, source):
    """Takes out what is for those who read a page without the site."""
    source[0] = WITHOUT_THE_SITE.sub("", source[0])
    source[0] = PICTURE.sub(pictures, source[0])
    source[0] = together(source[0])


def complete_included(app, path, parent, source):
    """The same in a file that a page includes."""
    source[0] = together(source[0])


def together(text):
    """A mean and its error stay on one line of a narrow table."""
    return text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", complete)
    app.connect("include-read", complete_included)
