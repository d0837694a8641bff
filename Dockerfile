# labse serve with the model that comes with labse: docker build --tag labse .
# Nothing is fetched when it runs. recipes/serve/compose.yaml shows it with stores and keys.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/labse labse \
    && install --directory --owner labse /stores
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /tmp/constraints.txt \
      "$(ls /wheels/labse-*.whl)[serve,index,qdrant]" \
    && rm /tmp/constraints.txt
# By number: Kubernetes can then tell that it is not root.
USER 10001
WORKDIR /var/lib/labse
# A model with layers is converted once and kept here.
ENV LABSE_CACHE=/var/lib/labse/cache
VOLUME /stores
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ready', timeout=5)"]
ENTRYPOINT ["labse"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080", "--stores", "/stores"]
