# edvr in a container. CPU:   docker build -t edvr .
#                      CUDA:  docker build -t edvr:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
# Run it as yourself in the folder with the videos: see docs/guide/jobs.md. The CUDA runtime comes with PyTorch's wheels, so
# that both start from the same small image; the driver is the host's.
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY edvr_cli edvr_cli
COPY weights weights
RUN python -m venv /opt/edvr \
 && /opt/edvr/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" -c constraints.txt torch \
 && /opt/edvr/bin/pip install --no-cache-dir -c constraints.txt ".${EXTRAS}" \
 && find /opt/edvr -name __pycache__ -type d -prune -exec rm -rf {} +

FROM python:3.11-slim
# What the CUDA kernel's compiler (Triton) builds its launchers with.
ARG PACKAGES=
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install -y --no-install-recommends $PACKAGES \
 && rm -rf /var/lib/apt/lists/*; fi
COPY --from=build /opt/edvr /opt/edvr
# Compiled kernels and downloaded models; whoever runs the container may write here.
ENV PATH=/opt/edvr/bin:$PATH HOME=/cache NUMBA_CACHE_DIR=/cache/numba TRITON_CACHE_DIR=/cache/triton
RUN mkdir -m 1777 /cache
WORKDIR /work
# The command itself gets the signals: docker stop lets a job be gone on with.
ENTRYPOINT ["edvr"]
CMD ["--help"]
