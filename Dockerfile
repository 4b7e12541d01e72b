# The image that examples/cluster/kubernetes.yaml names: `mpl-keras`, and CUDA.
#
#   docker build -t registry.example.com/mpl_keras:0.1.0 .
#
# For CPUs alone, which makes it much smaller:
#
#   docker build --build-arg TENSORFLOW=tensorflow -t mpl_keras .
#   docker run -v "$PWD:/data" mpl_keras train --dataset=/data/pictures \
#       --output_dir=/data/run
FROM python:3.12-slim

ARG TENSORFLOW=tensorflow[and-cuda]

WORKDIR /build
COPY LICENSE README.md pyproject.toml setup.py ./
COPY mpl_keras mpl_keras
# `preview`, and the method "pixels" of `compare`, need scikit-learn besides
# what the extra `report` holds.
RUN pip install --no-cache-dir "$TENSORFLOW" ".[examples]"

# Backups, results and prepared data are on volumes; nothing is written here.
WORKDIR /data
ENTRYPOINT ["mpl-keras"]
CMD ["--help"]
