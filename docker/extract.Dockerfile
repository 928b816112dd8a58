# syntax=docker/dockerfile:1
# Everything that reads clips or runs flows: extract, download, labels, the Prefect worker and server, Dask.
#
#   docker build -f docker/extract.Dockerfile -t avvp-extract .
#
# torch's wheels bring CUDA's libraries, so FLAVOUR=base works too and is smaller.
ARG PYTHON=3.11.14
ARG CUDA=13.0.2
ARG FLAVOUR=runtime

FROM python:${PYTHON}-slim-bookworm AS python

FROM nvidia/cuda:${CUDA}-${FLAVOUR}-ubuntu24.04
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Ubuntu 24.04 has no Python 3.11, the version that constraints.txt was tested on; its libraries are new enough for
# Debian's build of it. Exact versions of Ubuntu's packages vanish from its archive, so the release is the pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates ffmpeg libbz2-1.0 libexpat1 libffi8 liblzma5 \
        libsqlite3-0 libssl3t64 libuuid1 tini zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=python /usr/local /usr/local
RUN ldconfig && python3.11 -c 'import bz2, ctypes, lzma, sqlite3, ssl, uuid, zlib'

# PYTHONSAFEPATH: the folder that a command runs in never shadows a package.
ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/avvp/bin:$PATH

# What changes seldom first: a change of our code reuses this layer.
ARG EXTRAS="extract clap flows dask download s3"
WORKDIR /app
COPY pyproject.toml constraints.txt ./
RUN python3.11 -m venv /opt/avvp \
    && EXTRAS="${EXTRAS}" python -c "import os, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *(one for name in os.environ['EXTRAS'].split() for one in project['optional-dependencies'][name]), sep='\n')" > /tmp/requirements.txt \
    && pip install --constraint constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY README.md LICENSE prefect.yaml avvp.py ./
COPY storage storage
COPY extractors extractors
COPY pipeline pipeline
COPY flows flows
RUN pip install --constraint constraints.txt --no-deps . && avvp --version

# Volumes take over the owner of the folder that they are mounted on.
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin avvp \
    && install --directory --owner=avvp --group=avvp /stores /cache /data
ENV AVVP_CACHE=/cache \
    HOME=/home/avvp
USER 10001:10001
WORKDIR /data

# A command runs once and ends; services say in compose.yaml how their health is seen.
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--", "avvp"]
CMD ["--help"]
