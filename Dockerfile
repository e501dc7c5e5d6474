# One image for every part: `docker run memories-ingest` is the whole service, `... worker` (web, console, beat) one part of it.

FROM python:3.13-slim AS builder
WORKDIR /build
# Every file of the lock is fetched and checked against its hash, the development tools too. No source distribution: building one
# would run code that nobody locked.
COPY requirements.lock ./
RUN pip download --quiet --require-hashes --only-binary=:all: --dest /wheels -r requirements.lock
COPY pyproject.toml README.md ./
COPY ingest ingest
COPY webhooks webhooks
COPY console console
COPY workers workers
COPY sandbox sandbox
COPY migrations migrations
# --no-index: from the checked files alone, and of them only what the service needs, so that the tools stay behind.
# --without-pip, --python: the environment gets no installer of its own.
RUN python -m venv --without-pip /opt/ingest \
 && pip --python /opt/ingest/bin/python install --quiet --no-cache-dir --no-index --find-links=/wheels .

FROM python:3.13-slim
# A fixed number, so that files on shared disks have the same owner on every host.
# /data belongs to it before it becomes a volume: an empty volume takes over owner and mode from here.
RUN groupadd --gid 10001 ingest \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin ingest \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=builder /opt/ingest /opt/ingest
ENV PATH=/opt/ingest/bin:$PATH \
    INGEST_HOME=/data \
    PYTHONUNBUFFERED=1
VOLUME /data
# Also where a .env would be read from.
WORKDIR /data
EXPOSE 8000 8001
# The number, not the name: only so can an orchestrator see that it is not root.
USER 10001:10001
# The receiver, alone or under `up`. Parts without an address turn this off (docker-compose.yml; docker run --no-healthcheck).
# http.client asks no proxy; slim images have no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('INGEST_PORT') or 8000), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["ingest"]
CMD ["up"]
