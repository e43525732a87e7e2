# Three images: `service` (CUDA), `service-cpu`, `operator`.
#
#   docker build --target service-cpu -t podium:dev-cpu .
#   docker build --target service     -t podium:dev .
#   docker build --target operator    -t podium-operator:dev .
#
# Bake a model in, so that the image needs no network and no volume (a hub's token: --secret id=hf_token,src=FILE):
#
#   docker build --target service-cpu --build-arg MODEL=cross-encoder/ms-marco-MiniLM-L6-v2 -t my-reranker .
#
# Layers go from what changes least to what changes most: base, dependencies (the same layer in both service
# images), torch, a baked model, the code. Nothing compiles at start: the root file system may be read-only,
# so the bytecode is made here, and it is never compared with the sources. No allocator is preloaded: podium
# raises glibc's thresholds by itself (service/podium/models/devices.py).

# The locks are for its Python; a release passes it by digest.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---------------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
# A name for the user: torch asks the password file for it.
RUN groupadd --gid 65532 podium && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp podium
# All that is written at run time goes below HOME: mount an emptyDir or a tmpfs there.
ENV PATH=/opt/podium/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# --------------------------------------------------------------------------------------------------- dependencies
# Exactly the files whose hashes the locks name (`make lock` writes them), for amd64 and arm64.
FROM ${PYTHON_IMAGE} AS build
# Without pip inside: an image that serves installs nothing.
RUN python -m venv --without-pip /opt/podium
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1

FROM build AS dependencies-operator
COPY operator/requirements.txt /
RUN pip --python /opt/podium/bin/python install --no-deps --require-hashes -r /requirements.txt \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/podium/lib

FROM build AS dependencies-service
COPY service/requirements.txt /
RUN pip --python /opt/podium/bin/python install --no-deps --require-hashes -r /requirements.txt \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/podium/lib

# torch goes into a folder of its own and is laid over the rest, which thereby is one layer of both images.
# What it brings for compilers and its own tests is of no use here (130 MB); one test file is no Python 3.11.
FROM dependencies-service AS torch-cpu
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
COPY service/requirements-torch-cpu.txt /
RUN python -m venv --without-pip /opt/torch \
 && pip --python /opt/torch/bin/python install --no-deps --require-hashes --extra-index-url ${TORCH_CPU_INDEX} \
        -r /requirements-torch-cpu.txt \
 && (cd /opt/torch/lib/python3*/site-packages/torch && rm -rf include test \
     && find bin ! -type d ! -name torch_shm_manager -delete) \
 && PYTHONPATH=$(echo /opt/podium/lib/python3*/site-packages) /opt/torch/bin/python -c "import torch; \
cuda = torch.version.cuda; \
assert cuda is None, f'torch {torch.__version__} is built for CUDA {cuda}, wanted: a CPU build (TORCH_CPU_INDEX)'" \
 && python -m compileall -q -j 0 -x py312_intrinsics -s /opt/torch -p /opt/podium \
        --invalidation-mode unchecked-hash /opt/torch/lib

FROM dependencies-service AS torch-cuda
COPY service/requirements-torch-cuda.txt /
RUN python -m venv --without-pip /opt/torch \
 && pip --python /opt/torch/bin/python install --no-deps --require-hashes -r /requirements-torch-cuda.txt \
 && (cd /opt/torch/lib/python3*/site-packages/torch && rm -rf include test \
     && find bin ! -type d ! -name torch_shm_manager -delete) \
 && PYTHONPATH=$(echo /opt/podium/lib/python3*/site-packages) /opt/torch/bin/python -c "import torch; \
assert torch.version.cuda, f'torch {torch.__version__} is built for CPU, wanted: a CUDA build'" \
 && python -m compileall -q -j 0 -x py312_intrinsics -s /opt/torch -p /opt/podium \
        --invalidation-mode unchecked-hash /opt/torch/lib

# ----------------------------------------------------------------------------------------------------------- code
FROM build AS code
COPY service/requirements-build.txt /
RUN pip install --no-deps --require-hashes -r /requirements-build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md /src/
COPY service /src/service
COPY operator /src/operator
RUN pip wheel --no-deps --no-build-isolation -w /wheels /src \
 && pip --python /opt/podium/bin/python install --no-deps /wheels/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/podium/lib

FROM code AS code-service
RUN rm -r /opt/podium/lib/python3*/site-packages/podium_operator

FROM code AS code-operator
RUN rm -r /opt/podium/lib/python3*/site-packages/podium

# A baked model; without MODEL the folder stays empty and the built-in model is served.
FROM dependencies-service AS model
COPY --from=code-service /opt/podium/lib /opt/podium/lib
COPY --from=code-service /opt/podium/bin/podium /opt/podium/bin/podium
ARG MODEL=
ARG MODEL_REVISION=
ARG HF_ENDPOINT=
RUN --mount=type=secret,id=hf_token \
    mkdir /opt/model \
 && if [ -n "${MODEL}" ]; then \
        export HOME=/tmp ${HF_ENDPOINT:+HF_ENDPOINT="${HF_ENDPOINT}"}; \
        if [ -s /run/secrets/hf_token ]; then HF_TOKEN="$(cat /run/secrets/hf_token)"; export HF_TOKEN; fi; \
        /opt/podium/bin/podium fetch "${MODEL}" --to /opt/model/baked --revision "${MODEL_REVISION}"; \
    fi

# --------------------------------------------------------------------------------------------------------- images
FROM base AS service-base
# A named volume that is mounted here begins with this owner, else with root, and no model could be kept in it.
RUN install -d -o 65532 -g 65532 /models
COPY --from=dependencies-service /opt/podium /opt/podium

FROM service-base AS service-cpu
COPY --from=torch-cpu /opt/torch/lib /opt/podium/lib
COPY --from=model /opt/model /opt/model
COPY --from=code-service /opt/podium/lib /opt/podium/lib
COPY --from=code-service /opt/podium/bin/podium /opt/podium/bin/podium
ARG MODEL=
ENV PODIUM_MODEL=${MODEL:+/opt/model/baked} PODIUM_SERVED_MODEL_NAME=${MODEL}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Podium" \
      org.opencontainers.image.description="Reranks documents for a query with a cross-encoder model, on CPU" \
      org.opencontainers.image.source="https://github.com/podium-rerank/podium" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["podium"]
CMD ["serve"]

FROM service-base AS service
# Without it NVIDIA's runtime mounts the tools and not the libraries. Which devices a container sees is the
# cluster's to say: NVIDIA_VISIBLE_DEVICES=all here would give every GPU to a pod that asked for none.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=torch-cuda /opt/torch/lib /opt/podium/lib
COPY --from=model /opt/model /opt/model
COPY --from=code-service /opt/podium/lib /opt/podium/lib
COPY --from=code-service /opt/podium/bin/podium /opt/podium/bin/podium
ARG MODEL=
ENV PODIUM_MODEL=${MODEL:+/opt/model/baked} PODIUM_SERVED_MODEL_NAME=${MODEL}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Podium" \
      org.opencontainers.image.description="Reranks documents for a query with a cross-encoder model, on NVIDIA GPUs" \
      org.opencontainers.image.source="https://github.com/podium-rerank/podium" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["podium"]
CMD ["serve"]

FROM base AS operator
COPY --from=dependencies-operator /opt/podium /opt/podium
COPY --from=code-operator /opt/podium/lib /opt/podium/lib
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Podium operator" \
      org.opencontainers.image.description="Turns a Reranker resource into a cached, placed, scaled rerank service" \
      org.opencontainers.image.source="https://github.com/podium-rerank/podium" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "podium_operator"]
