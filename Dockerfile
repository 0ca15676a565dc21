# docker build -t autovul .                  for machines with NVIDIA GPUs: docker run --gpus all … autovul reproduce
# docker build -t autovul:cpu --target cpu . for machines without
# Results, weights and data live in the folder that is mounted at /autovul; see docs/machines.md.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY autovul autovul
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM wheel AS cpu-environment
RUN python -m venv /opt/autovul \
    && /opt/autovul/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch torchvision \
    && /opt/autovul/bin/pip install --no-cache-dir /wheel/autovul-*.whl

# PyTorch's own packages bring the CUDA libraries; of the host, only the driver is needed.
FROM wheel AS cuda-environment
RUN python -m venv /opt/autovul \
    && /opt/autovul/bin/pip install --no-cache-dir /wheel/autovul-*.whl

FROM python:${PYTHON}-slim AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="autovul" \
      org.opencontainers.image.description="Does the way a network was designed make it easier to attack?" \
      org.opencontainers.image.licenses="GPL-3.0-only" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Whoever --user says has a home to write to.
RUN useradd --create-home --uid 1000 autovul \
    && mkdir /autovul \
    && chown autovul: /autovul \
    && chmod 777 /home/autovul
ENV HOME=/home/autovul PATH=/opt/autovul/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /autovul
USER autovul
ENTRYPOINT ["autovul"]
CMD ["--help"]

FROM base AS cpu
COPY --from=cpu-environment /opt/autovul /opt/autovul

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=cuda-environment /opt/autovul /opt/autovul
