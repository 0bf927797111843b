# The page for hosts other than Hugging Face: docs/space.md. `make test-space` runs these steps without Docker.
FROM python:3.12-slim AS build
# uv reads these. The build of torch for processors is far smaller than that for a GPU.
ARG UV_TORCH_BACKEND=cpu
ARG UV_NO_CACHE=1
WORKDIR /app
COPY . source
RUN python -m venv venv && venv/bin/python -m pip install --quiet --no-cache-dir uv
RUN venv/bin/uv pip install --quiet --python venv --constraints source/constraints.txt "./source[demo]"

FROM python:3.12-slim
RUN useradd --create-home --home-dir /dancer --uid 1000 dancer
COPY --from=build /app/venv /app/venv
ENV PATH=/app/venv/bin:$PATH
USER dancer
WORKDIR /dancer
EXPOSE 7860
HEALTHCHECK --start-period=120s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/')"]
CMD ["infinitedance", "space", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]
