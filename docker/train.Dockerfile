# syntax=docker/dockerfile:1
# The trainer's side: train, evaluate, compare, reproduce. It reads stores, decodes nothing and compiles nothing, so it
# has neither ffmpeg nor a compiler.
#
#   docker build -f docker/train.Dockerfile -t avvp-train .
#
# torch's wheels bring CUDA's libraries; of the base image only the driver's hooks are used. Built for x86-64, as
# constraints.txt is.
ARG PYTHON=3.11.14
ARG CUDA=13.0.2
ARG FLAVOUR=base

FROM python:${PYTHON}-slim-bookworm AS python

FROM nvidia/cuda:${CUDA}-${FLAVOUR}-ubuntu24.04
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# See extract.Dockerfile for why Python comes from another image, and packages have no versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libbz2-1.0 libexpat1 libffi8 liblzma5 \
        libsqlite3-0 libssl3t64 libuuid1 tini zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=python /usr/local /usr/local
RUN ldconfig && python3.11 -c 'import bz2, ctypes, lzma, pyexpat, sqlite3, ssl, uuid, zlib'

ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DO_NOT_TRACK=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/avvp/bin:$PATH

# figures: reproduce; hdf5: import of AVE's published features.
ARG EXTRAS="figures hdf5 s3"
WORKDIR /app
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN python3.11 -m venv /opt/avvp \
    && python requirements.py "${EXTRAS}" > /tmp/requirements.txt \
    && pip install --constraint constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY README.md LICENSE prefect.yaml avvp.py ./
COPY storage storage
COPY extractors extractors
COPY pipeline pipeline
COPY flows flows
RUN pip install --constraint constraints.txt --no-deps . && avvp --version

RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin avvp \
    && install --directory --owner=avvp --group=avvp /stores /runs /cache
ENV AVVP_CACHE=/cache \
    XDG_CACHE_HOME=/cache \
    HOME=/home/avvp
USER 10001:10001
WORKDIR /runs

# A command runs once and ends.
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--", "avvp"]
CMD ["--help"]
