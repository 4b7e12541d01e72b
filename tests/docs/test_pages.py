"""The README and the documentation: code that runs, links that lead somewhere.

All Python of a page runs in one process, one block after the other. In the gate
a comment above a block may shorten it, `<!-- test: epochs=10 -> epochs=1 -->`,
and `<!-- slow -->` in a line of its own leaves a page out; the slow tests run
every block as it stands.
"""

import json
import os
import pathlib
import re

import pytest
import scripts

import mpl_keras

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "api").glob("*.md")),
]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<changes>.*?) -->\n)?^```python\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
# A page whose code is for the slow tests; and what it needs beside what is
# installed for the tests.
SLOW = re.compile(r"^<!-- slow -->$", re.MULTILINE)
EXTRAS = re.compile(r"^<!-- needs: (.*?) -->$", re.MULTILINE)


def name_of(page):
    return str(page.relative_to(ROOT))


def code_of(page, shortened):
    """All Python of a page, on the lines on which it stands there."""
    text = page.read_text(encoding="utf-8")
    code = ""
    for block in BLOCK.finditer(text):
        own = block["code"]
        changes = (block["changes"] or "").split("; ") if shortened else []
        for change in filter(None, changes):
            old, new = change.split(" -> ")
            assert old in own, f"{page.name}: {old!r} is not in the block"
            own = own.replace(old, new)
        line = text[: block.start("code")].count("\n")
        code += "\n" * (line - code.count("\n")) + own
    return code


WITH_CODE = [page for page in PAGES if "```python\n" in page.read_text("utf-8")]


def in_the_gate(page):
    slow = SLOW.search(page.read_text(encoding="utf-8"))
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(page, id=name_of(page), marks=marks)


def run(page, code, folder):
    for module in EXTRAS.findall(page.read_text(encoding="utf-8")):
        for name in module.split(", "):
            pytest.importorskip(name)
    result = scripts.run_code(code, folder, cwd=folder)
    assert result.returncode == 0, (
        f"{name_of(page)} (line numbers are the page's):\n"
        f"{result.stderr[-3000:]}"
    )
    return result.stdout


@pytest.mark.parametrize("page", [in_the_gate(p) for p in WITH_CODE])
def test_shortened_code_of_a_page_runs(page, tmp_path):
    run(page, code_of(page, shortened=True), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_code_of_a_page_runs_as_it_stands(page, tmp_path):
    printed = run(page, code_of(page, shortened=False), tmp_path)
    if page.name == "README.md":
        *_, accuracy = re.findall(r"accuracy: (\d\.\d+)", printed)
        assert 0.8 < float(accuracy) <= 1


def test_blocks_of_code_are_blocks_that_run():
    # A fence that the tests do not see, such as one that is indented.
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = len(re.findall(r"^ *```\{?(?:python|py)\b", text, re.M))
        assert fences == len(BLOCK.findall(text)), page.name


# Links and commands.


def anchors_of(page):
    """What headings of a page can be linked to as."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    included = re.findall(r"^```\{include\} (\S+)", page.read_text(), re.M)
    for other in included:
        headings += re.findall(
            r"^#+ (.*)$", (page.parent / other).read_text(), re.MULTILINE
        )
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def links_of(page):
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in links_of(page):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        # Pages that are written at the same time may come later.
        assert target.exists(), f"{page.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{page.name}: {link}"


def commands_of(page):
    """Commands of the library in a page, as one line each."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"\\\n\s*", "", text)
    for line in re.findall(r"^ {4}(mpl-keras .*)$", text, re.MULTILINE):
        yield line.partition("  #")[0]
    yield from re.findall(r"`(mpl-keras [^`\n]*)`", text)


@pytest.fixture(scope="module")
def flags():
    """Flags of each command, as its help has them."""
    known = {}
    for name in ("train", "compare", "predict", "export", "tune", "preview"):
        text = scripts.command(name, "--help").stdout
        found = re.findall(r"^  --(\[no\])?(\w+)", text, re.MULTILINE)
        known[name] = {flag for _, flag in found}
        known[name] |= {f"no{flag}" for no, flag in found if no}
        known[name].add("help")
    return known


def test_commands_have_the_flags_that_pages_name(flags):
    for page in PAGES:
        for line in commands_of(page):
            _, name, *rest = line.split()
            if name == "NAME":
                continue
            assert name in flags, f"{page.name}: {line}"
            for flag in re.findall(r"--(\w+)", " ".join(rest)):
                assert flag in flags[name], f"{page.name}: {line}"


# What is where.


def test_the_readme_is_one_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 140
    for command in ("make demo", "make test", "make docs"):
        assert command in text
    quick_start = BLOCK.search(text)["code"]
    assert len([x for x in quick_start.splitlines() if x.strip()]) <= 10


def test_every_page_is_listed():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        listed = re.search(rf"^{page.stem}$", index, re.MULTILINE)
        listed = listed or f'"{page.stem}"' in conf
        orphan = "orphan: true" in page.read_text(encoding="utf-8")
        assert listed or orphan or page.stem == "index", page.name


def test_every_public_folder_has_a_page_of_the_api():
    pages = {page.stem for page in (DOCS / "api").glob("*.md")} - {"index"}
    classes = {"MetaPseudoLabels", "UDA"}
    assert pages == {*mpl_keras.__all__, "models"} - classes
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    for name in pages:
        assert f"]({name}.md)" in index


# Notebooks.


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_their_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["execution_count"] for cell in code)
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
    assert os.fspath(ROOT) not in path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "import matplotlib\nmatplotlib.use('Agg')\n"
    for cell in cells:
        if cell["cell_type"] == "code":
            code += "".join(cell["source"]) + "\n"
    result = scripts.run_code(code, tmp_path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
