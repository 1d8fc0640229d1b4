# Two images from one file:
#
#   docker build --target service -t limbeck-service .      the API, the LLM worker and the sweeper; no torch
#   docker build --target gpu -t limbeck-gpu .              the GPU worker; torch brings CUDA, the host brings the driver
#
# `limbeck` is installed as a wheel; the packages of the service are read from /app.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONPATH=/app
WORKDIR /app
RUN useradd --system --create-home --uid 10001 limbeck \
    && install -d -o limbeck -g limbeck /var/lib/limbeck /var/cache/limbeck

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
USER limbeck
VOLUME ["/var/lib/limbeck", "/var/cache/limbeck"]
EXPOSE 8420
CMD ["limbeck", "serve"]

FROM base AS gpu
COPY requirements/gpu.lock requirements/s3.lock requirements/
RUN pip install --require-hashes -r requirements/gpu.lock -r requirements/s3.lock
COPY --from=wheel /build/dist/*.whl /tmp/
RUN pip install --no-deps /tmp/*.whl
COPY attributes attributes
COPY distill distill
COPY store store
COPY workers workers
USER limbeck
VOLUME ["/var/lib/limbeck", "/var/cache/limbeck"]
CMD ["celery", "-A", "workers.app", "worker", "-Q", "gpu", "-c", "1"]
