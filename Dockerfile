# Two images from one file:
#
#   docker build --target service -t limbeck-service .      the API, the LLM worker and the sweeper; no torch
#   docker build --target gpu -t limbeck-gpu .              the GPU worker; torch brings CUDA, the host brings the driver
#
# `limbeck` is installed as a wheel; the packages of the service are read from /app. The release workflow passes
# PYTHON_IMAGE with its digest, so that a release can be built again from the same base.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONPATH=/app
WORKDIR /app
# Everything that libraries keep in the home folder (models of the Hub, of open_clip and of torch, compiled kernels)
# is below /var/cache/models, which is a volume.
RUN groupadd --system --gid 10001 limbeck \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/cache/models limbeck \
    && install -d -o limbeck -g limbeck /var/lib/limbeck /var/cache/limbeck /var/cache/models

FROM base AS wheel
WORKDIR /build
COPY requirements/build.lock requirements/
RUN pip install --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY limbeck limbeck
RUN python -m build --wheel --no-isolation

# Dependencies come before the code: they rarely change, and those of the GPU worker are several gigabytes.
FROM base AS service
COPY requirements/service.lock requirements/s3.lock requirements/
RUN pip install --require-hashes -r requirements/service.lock -r requirements/s3.lock
COPY --from=wheel /build/dist/*.whl /tmp/
RUN pip install --no-deps /tmp/*.whl
COPY api api
COPY attributes attributes
COPY distill distill
COPY migrations migrations
COPY store store
COPY workers workers
ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV HOME=/var/cache/models
USER 10001:10001
VOLUME ["/var/lib/limbeck", "/var/cache/limbeck", "/var/cache/models"]
EXPOSE 8420
CMD ["limbeck", "serve"]

FROM base AS gpu
# torch.compile builds its launchers with a C compiler, at run time.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements/gpu.lock requirements/s3.lock requirements/
RUN pip install --require-hashes -r requirements/gpu.lock -r requirements/s3.lock
COPY --from=wheel /build/dist/*.whl /tmp/
RUN pip install --no-deps /tmp/*.whl
COPY attributes attributes
COPY distill distill
COPY migrations migrations
COPY store store
COPY workers workers
ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV HOME=/var/cache/models
USER 10001:10001
VOLUME ["/var/lib/limbeck", "/var/cache/limbeck", "/var/cache/models"]
CMD ["celery", "-A", "workers.app", "worker", "-Q", "gpu", "-c", "1"]
