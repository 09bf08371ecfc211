# Any Debian-like base with Python 3.11 or newer will do: build --build-arg BASE=...
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/build.txt requirements/base.txt requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt \
 && python3 -m venv --without-pip /opt/kcloud-exporter \
 && /opt/build/bin/pip --python /opt/kcloud-exporter/bin/python install \
      --no-cache-dir --require-hashes --only-binary :all: -r requirements/base.txt
COPY pyproject.toml README.md LICENSE ./
COPY kcloud_exporter kcloud_exporter
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/build/bin/pip --python /opt/kcloud-exporter/bin/python install --no-cache-dir --no-deps dist/*.whl
COPY deploy/healthcheck.py /opt/kcloud-exporter/

FROM ${BASE}
COPY --from=build /opt/kcloud-exporter /opt/kcloud-exporter
RUN install -d -o 65534 -g 65534 -m 0750 /data
ENV PATH=/opt/kcloud-exporter/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /data
# The only place that is written to: run with a read-only root file system.
VOLUME ["/data"]
USER 65534:65534
EXPOSE 28283
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/kcloud-exporter/bin/python", "/opt/kcloud-exporter/healthcheck.py"]
ENTRYPOINT ["kcloud-exporter"]
# A web config (users, TLS) is asked for, because the address is not loopback.
CMD ["serve", "--config.file=/etc/kcloud-exporter/kcloud-exporter.yaml", \
     "--web.config.file=/etc/kcloud-exporter/web.yaml", \
     "--web.listen-address=0.0.0.0:28283", "--storage.path=/data"]
