# `make demo` and `make test` do all their own set-up, in .venv.

CANDIDATES = python3 python3.13 python3.12 python3.11 python
IN_RANGE = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c "$(IN_RANGE)" 2>/dev/null && echo $$p && break; done)
RUN = TF_CPP_MIN_LOG_LEVEL=2 .venv/bin/python

.PHONY: demo test test-all docs ablation lint format wheel clean

# Ten labels, three seeds; stopped, it goes on where it was.
METHODS = supervised,uda,uda_aligned,no_feedback,mpl
demo: .venv/installed
	$(RUN) -m mpl_keras compare --dataset=digits --recipe=digits \
		--num_labeled=10 --seeds=0,1,2 --methods=$(METHODS) \
		--output_dir=demo_results --resume

test: .venv/installed
	$(RUN) -m pytest -n 3 --dist=loadfile --no-loadscope-reorder

test-all: .venv/installed
	$(RUN) -m pytest -n 3 --dist=loadfile --no-loadscope-reorder -m "" \
		--optimize-graphs

# The documentation, in docs/_build/html: every page, and every line of code in
# them is run as it stands; `make test-all` runs the notebooks. Needs no network,
# once it has installed what it needs.
docs: .venv/docs-installed
	$(RUN) -m sphinx -W --keep-going -q -b html -d docs/_build/doctrees \
		docs docs/_build/html
	$(RUN) -m pytest -q -n 3 --dist=worksteal -m "" \
		-k "not shortened and not notebooks_run" tests/docs
	@echo "Open docs/_build/html/index.html"

# Does the feedback help? Tables and a picture of it, in ablation/; stopped, it
# goes on where it was.
DIGITS = digits_10,digits_20,digits_40,digits_100,digits_10_rotated
TABLE = no_feedback,mpl,uda,uda_aligned,uda_time,uda_aligned_time,supervised
FORMS = loss_difference,cosine,per_example,weak_meta,strong_labels
CONTROLS = flipped,shuffled,class_mean,no_class_mean,noise
ABLATION = $(RUN) benchmarks/ablation.py --output_dir=ablation
ablation: .venv/installed
	$(ABLATION) --settings=$(DIGITS) --methods=$(TABLE)
	$(ABLATION) --settings=digits_10 --methods=$(FORMS),$(CONTROLS)
	$(RUN) benchmarks/ablation_tables.py ablation

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/installed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

wheel: .venv/installed
	.venv/bin/python -m build --wheel

.venv/installed: setup.py pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11, 3.12 or 3.13 is needed, and was not found." \
		"Name it: make PYTHON=/path/to/python"; exit 1; fi
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	@echo "Installing TensorFlow, Keras and the rest into .venv ..."
	.venv/bin/python -m pip install -qq --no-compile --editable ".[tests]"
	touch .venv/installed

.venv/docs-installed: .venv/installed
	.venv/bin/python -m pip install -qq --editable ".[docs]"
	touch .venv/docs-installed

clean:
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .ruff_cache
