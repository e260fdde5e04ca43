# The gateway's image from target/release/cellgate, for who has built that already:
#
#   docker build --target gateway-base -t cellgate-base .
#   docker build --file scripts/image/prebuilt.Dockerfile -t cellgate .
#
# The program is linked against the C library of the machine it was built on, which must not be newer
# than that of the image.
ARG BASE=cellgate-base
FROM ${BASE}
COPY target/release/cellgate /usr/local/bin/cellgate
