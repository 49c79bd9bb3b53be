# The published site and all that re-makes it, for a machine that has only Docker:
#   docker build --tag sanitygap . && docker run --publish 8000:8000 sanitygap
#   docker run sanitygap make test
FROM python:3.11-slim-bookworm

RUN apt-get update --quiet \
    && apt-get install --quiet --yes --no-install-recommends chromium git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader
USER reader
WORKDIR /home/reader/book

# first what changes rarely: PyTorch alone takes minutes
COPY --chown=reader Makefile constraints.txt pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY --chown=reader lib lib
RUN make install PYTHON=python3.11
COPY --chown=reader . .
RUN make site

EXPOSE 8000
# a container's own address is not the one that its port is published from
CMD ["python", "-m", "http.server", "8000", "--directory", "_build/html"]
