# Three images in one file.
#
#   docker build --target python  -t cellgate-python .      what a session of the template `python` runs in
#   docker build --target javascript -t cellgate-javascript .   the same of a template of JavaScript
#   docker build --target gateway -t cellgate .             the gateway, built from source
#
# BASE, RUST and NODE are given as arguments where images come from a mirror or are made by hand, as
# scripts/ci-engine does. Without a Node the gateway carries the plain console, and the image of Python runs no
# JavaScript: any image will do as NODE then, with REQUIRE empty.
#
# How a program that is there already gets into the image: scripts/image/prebuilt.Dockerfile.
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.90-slim-bookworm
ARG NODE=node:22-bookworm-slim

FROM ${NODE} AS node

# --- The sandbox ---------------------------------------------------------------------------------
# Any image with a Python 3.9 or newer works: the driver is put in when a sandbox starts. This one
# has what people expect of a playground, and a Node and a bash for cells in JavaScript and bash.
FROM ${BASE} AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 python3-numpy python3-pandas python3-matplotlib python3-pil python3-pip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# The interpreter alone: its package managers would find no network.
COPY --from=node /usr/local/bin/ /usr/local/bin/
RUN find /usr/local/bin -xtype l -delete
# matplotlib's search for fonts is done here, once, and not before the first plot of every session.
# It wants a directory that it may write, and a sandbox's system is read-only: the directory is in
# /tmp, and Python puts a link to the list of fonts into it when it first starts.
ENV MPLCONFIGDIR=/tmp/matplotlib \
    MPLBACKEND=agg \
    LANG=C.UTF-8
# Wheels are used where they lie beside the list, as on a machine whose builds reach no index; PIP is
# for options such as --no-index.
COPY scripts/image/python-packages.txt scripts/image/*.whl /tmp/pip/
ARG PIP=
RUN python3 -m pip install --no-cache-dir --break-system-packages --no-deps --find-links /tmp/pip $PIP \
      -r /tmp/pip/python-packages.txt \
 && rm -rf /tmp/pip
COPY scripts/image/cellgate_fonts.pth scripts/image/cellgate_fonts.py /usr/lib/python3/dist-packages/
RUN MPLCONFIGDIR=/usr/local/share/matplotlib python3 -c 'import matplotlib.pyplot' \
 && python3 -m compileall -q /usr/lib/python3/dist-packages /usr/lib/python3.* \
 && rm -rf /tmp/*
RUN groupadd --gid 1000 sandbox \
 && useradd --uid 1000 --gid 1000 --home-dir /work --no-create-home --shell /bin/sh sandbox \
 && mkdir -p /work && chown 1000:1000 /work
WORKDIR /work
USER 1000:1000
CMD ["python3"]

# --- The gateway ---------------------------------------------------------------------------------
# The classic builder makes every stage above its target, needed or not. So the stages that need a
# compiler come last, and no stage here may want what a fresh clone does not have.
FROM ${BASE} AS gateway-base
# 65532 owns nothing on any distribution. The engine's socket is reached by group: compose.yaml.
RUN mkdir -m 0700 /run/cellgate && chown 65532:65532 /run/cellgate
ENV CELLGATE_LISTEN=0.0.0.0:8080 \
    CELLGATE_BACKEND=docker \
    XDG_RUNTIME_DIR=/run/cellgate
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/cellgate"]
CMD ["serve"]

# What a session of a template with `language = "javascript"` runs in. Any image with a Node 20 or newer works.
FROM node AS javascript
WORKDIR /work
USER 1000:1000
CMD ["node"]

FROM ${RUST} AS build
# Where Node's images have it; the console is built with it.
COPY --from=node /usr/local /usr/local
WORKDIR /src
COPY . .
# `all`: a console that cannot be built ends the build instead of being replaced by the plain one.
ARG REQUIRE=all
RUN CELLGATE_REQUIRE=$REQUIRE cargo build --release --locked --bin cellgate

FROM gateway-base AS gateway
COPY --from=build /src/target/release/cellgate /usr/local/bin/cellgate
