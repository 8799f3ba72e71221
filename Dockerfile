# syntax=docker/dockerfile:1
# Builds the three images with Docker; `make images` builds the same images without it (hack/images/build). The project's tests have
# no Docker, so they do not run it. One target per image:
#
#   docker buildx build --target operator  --tag kinesis-demo-operator:0.1.0  --load .
#   docker buildx build --target generator --tag kinesis-demo-generator:0.1.0 --load .
#   docker buildx build --target sandbox   --tag kinesis-demo-sandbox:0.1.0   --load .
#
# For both architectures, pushed to a registry: --platform linux/amd64,linux/arm64 --tag REGISTRY/kinesis-demo-operator:0.1.0 --push
# For the labels: --build-arg REVISION=$(git rev-parse HEAD) --build-arg CREATED=$(git log -1 --format=%cI)
# hack/images/check-dockerfile compares the versions and arguments in this file with the project's.

# Cross-compiles on the machine's own platform, without emulation.
FROM --platform=$BUILDPLATFORM rust:1.95.0-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Selects the toolchain of the base image, which is the version in rust-toolchain.toml, without its additional components.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_TARGET_DIR=/target
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/target,sharing=locked \
    hack/images/compile "$TARGETARCH" && cp -R "/target/images/$TARGETARCH" /images

FROM scratch AS image
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.created=$CREATED \
      org.opencontainers.image.licenses=MIT
WORKDIR /
USER 65532:65532

FROM image AS operator
LABEL org.opencontainers.image.title=kinesis-demo-operator \
      org.opencontainers.image.description="Kubernetes operator that shows how Amazon Kinesis on-demand streams scale"
COPY --from=build /images/kinesis-demo-operator/ /
ENTRYPOINT ["/kinesis-demo-operator"]
CMD ["run"]

FROM image AS generator
LABEL org.opencontainers.image.title=kinesis-demo-generator \
      org.opencontainers.image.description="Publishes social-media posts to Amazon Kinesis at exactly the rate that a control document requests"
COPY --from=build /images/kinesis-demo-generator/ /
ENTRYPOINT ["/kinesis-demo-generator"]

FROM image AS sandbox
LABEL org.opencontainers.image.title=kinesis-demo-sandbox \
      org.opencontainers.image.description="A local AWS for the KinesisDemo operator: real request formats, a model of Kinesis on-demand scaling"
COPY --from=build /images/kinesis-demo-sandbox/ /
ENTRYPOINT ["/kinesis-demo-sandbox"]
CMD ["serve"]
