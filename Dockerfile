# docker build --target api    -t farzi-api .      no torch
# docker build --target worker -t farzi-worker .   torch with the CUDA libraries that its wheel depends on

FROM python:3.11-slim AS builder
WORKDIR /build
ENV PIP_CACHE_DIR=/var/cache/pip
RUN python -m venv /opt/farzi
COPY . .

FROM builder AS api-builder
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/farzi/bin/pip install --constraint requirements.lock ".[server]"

FROM builder AS worker-builder
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/farzi/bin/pip install --constraint requirements.lock ".[worker]"

FROM python:3.11-slim AS runtime
RUN useradd --uid 10001 --create-home farzi \
    && install --directory --owner farzi --group farzi /var/lib/farzi
ENV PATH=/opt/farzi/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FARZI_DATA_DIR=/var/lib/farzi
WORKDIR /var/lib/farzi
USER farzi

FROM runtime AS api
COPY --from=api-builder /opt/farzi /opt/farzi
ENV FARZI_HOST=0.0.0.0 \
    FARZI_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["farzi", "serve"]

FROM runtime AS worker
COPY --from=worker-builder /opt/farzi /opt/farzi
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# No HEALTHCHECK: a worker listens on no port, and what it holds is a lease in the database, which runs out by itself.
CMD ["farzi", "worker", "--queue", "gpu"]
