# Two images in one file.
#
#   docker build --target python  -t cellgate-python .      what a session of the template `python` runs in
#   docker build --target gateway -t cellgate .             the gateway, built from source
#   docker build --target gateway-prebuilt -t cellgate .    the gateway, from target/release/cellgate
#
# BASE and RUST are given as arguments where images come from a mirror or are made by hand
# (scripts/ci-engine does both).
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.90-slim-bookworm

# --- The sandbox ---------------------------------------------------------------------------------
# Any image with a Python 3.9 or newer works: the driver is put in when a sandbox starts. This one
# has what people expect of a playground.
FROM ${BASE} AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 python3-numpy python3-pandas python3-matplotlib python3-pil python3-pip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# The font cache is made here, once: matplotlib's search takes seconds, and the first plot of every
# session would pay for it. matplotlib wants a directory it may write, so sandboxes give it one under
# /tmp; this file is where the cache is copied from.
ENV MPLCONFIGDIR=/usr/local/share/matplotlib \
    MPLBACKEND=agg \
    LANG=C.UTF-8
RUN mkdir -p "$MPLCONFIGDIR" \
 && python3 -c 'import matplotlib.font_manager, matplotlib.pyplot' \
 && python3 -m compileall -q /usr/lib/python3 >/dev/null || true
RUN groupadd --gid 1000 sandbox \
 && useradd --uid 1000 --gid 1000 --home-dir /work --no-create-home --shell /bin/sh sandbox \
 && mkdir -p /work && chown 1000:1000 /work
WORKDIR /work
USER 1000:1000
CMD ["python3"]

# --- The gateway ---------------------------------------------------------------------------------
# The stage that needs a compiler comes last: the classic builder makes every stage above a target.
FROM ${BASE} AS gateway-base
# 65532 owns nothing on any distribution. The engine's socket is reached by group: compose.yaml.
RUN mkdir -p /run/cellgate && chown 65532:65532 /run/cellgate
ENV CELLGATE_LISTEN=0.0.0.0:8080 \
    CELLGATE_BACKEND=docker
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/cellgate"]
CMD ["serve"]

FROM gateway-base AS gateway-prebuilt
COPY target/release/cellgate /usr/local/bin/cellgate

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin cellgate

FROM gateway-base AS gateway
COPY --from=build /src/target/release/cellgate /usr/local/bin/cellgate
