# One image for every service. The torch wheels bring their CUDA libraries; the host brings the driver.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# Dependencies first: they rarely change and are several gigabytes.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md alembic.ini ./
COPY api api
COPY attributes attributes
COPY distill distill
COPY examples examples
COPY limbeck limbeck
COPY migrations migrations
COPY store store
COPY workers workers
RUN pip install --no-deps --no-build-isolation --editable . \
    && useradd --system --create-home --uid 10001 limbeck \
    && install -d -o limbeck -g limbeck /var/lib/limbeck /var/cache/limbeck
USER limbeck
VOLUME ["/var/lib/limbeck", "/var/cache/limbeck"]
EXPOSE 8420
CMD ["limbeck", "serve"]
