"""`ml-api/`: what the serving image and the steps image are made of, by hashed locks and an unprivileged user.

The base image's pip installs wheels into an environment that has none of its own; no compiler is needed. Layers that
change least come first: a change of the project's code rebuilds the last one only, a new mainspring two. (A stage to
copy from would be hashed whole at each build: 10 s.) `mainspring` comes as a wheel in `ml-api/wheels/` (`pip wheel
--no-deps`), never from the network at build time. The server and the steps handle SIGTERM as PID 1.
"""

from mainspring.deliver.render.content import Files, Text
from mainspring.deliver.render.kubernetes import RUN_AS
from mainspring.deliver.render.subject import Subject

FOLDER = "ml-api"
PORT, METRICS_PORT = 8080, 9090
_TITLE = 'LABEL org.opencontainers.image.title="{title}" org.opencontainers.image.description="{what}"'
_VENV = """\
ARG BASE={base}
FROM ${{BASE}}
RUN useradd --uid {user} --user-group --no-create-home --shell /usr/sbin/nologin mainspring \\
    && install -d -o {user} -g {user} /srv/project /srv/project/.mainspring \\
    && python3 -m venv --without-pip /opt/venv
{system}WORKDIR /opt
COPY {folder}/{lock} ./
RUN python3 -m pip --python venv/bin/python install --no-cache-dir --no-deps --require-hashes -r {lock} \\
    && find venv -depth -type d \\( -name tests {unused}\\) -exec rm -r {{}} +
COPY {folder}/wheels/ wheels/
RUN python3 -m pip --python venv/bin/python install --no-cache-dir --no-index --no-deps wheels/*.whl
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
{title}
WORKDIR /srv/project
"""
# parts of packages that no server imports: 16 MB
_UNSERVED = "".join(
    f"-o -path '*/{folder}' "
    for folder in (
        "onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/tools", "numpy/distutils", "numpy/f2py",
        "numpy/_core/include", "numpy/_core/lib", "numpy/random/lib",
    )
)  # fmt: skip
# the release step and the watch commit releases; `--build-arg SYSTEM=` leaves it to the base image
_GIT = """\
ARG SYSTEM=git
# hadolint ignore=DL3008
RUN test -z "${SYSTEM}" || (apt-get update && apt-get install -y --no-install-recommends "${SYSTEM}" \\
    && rm -rf /var/lib/apt/lists/*)
"""
_PROBE = (
    "import sys, urllib.request as u; "
    f"sys.exit(u.urlopen('http://127.0.0.1:{PORT}/v2/health/live', timeout=2).status != 200)"
)
_SERVE = """\
USER {user}:{user}
EXPOSE {port} {metrics}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "{probe}"]
ENTRYPOINT ["mainspring"]
CMD ["serve", "--host", "0.0.0.0", "--port", "{port}"]
"""
_STEPS = """\
COPY mainspring.yaml ./
{locks}COPY src/ src/
ARG COMMIT=
ENV MAINSPRING_COMMIT=${{COMMIT}}
USER {user}:{user}
STOPSIGNAL SIGTERM
ENTRYPOINT ["mainspring"]
CMD ["step", "--help"]
"""
_WINDOWS = """\
# A recipe for Windows Server containers: one worker, the same features. It was not built by those who wrote it, for
# Windows images build on Windows hosts alone: docker build -t ml-api -f ml-api/Dockerfile.windows .
ARG BASE={base}
FROM ${{BASE}}
SHELL ["powershell", "-NoLogo", "-Command", "$ErrorActionPreference = 'Stop';"]
WORKDIR C:\\\\build
COPY {folder}/requirements.lock ./
COPY {folder}/wheels/ wheels/
RUN python -m venv C:/venv; \\
    C:/venv/Scripts/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock; \\
    C:/venv/Scripts/pip install --no-index --no-deps (Get-Item wheels/*.whl).FullName
WORKDIR C:\\\\project
USER ContainerUser
EXPOSE {port} {metrics}
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["C:/venv/Scripts/python.exe", "-c", "{probe}"]
ENTRYPOINT ["C:/venv/Scripts/mainspring.exe"]
CMD ["serve", "--host", "0.0.0.0", "--port", "{port}"]
"""
_IGNORED = "**\n!ml-api\n!src\n!mainspring.yaml\n**/__pycache__\n.mainspring\n.git\n"
LINUX, WINDOWS = "python:3.11-slim", "python:3.11-windowsservercore-ltsc2022"


def files(subject: Subject) -> Files:
    """Return the image definitions and the locks that they install."""
    if not subject.places:
        return {}
    shared = {"folder": FOLDER, "user": RUN_AS, "port": PORT, "metrics": METRICS_PORT, "probe": _PROBE}
    base = subject.base or LINUX
    serving = _title(subject, "serving: answers predictions")
    steps = _title(subject, "steps: trains, judges and registers")
    locks = sorted({needs.lock for needs in subject.steps.values() if needs.lock and not needs.lock.startswith("src/")})
    return {
        f"{FOLDER}/Dockerfile": Text(
            (_VENV + _SERVE).format(
                base=subject.base or LINUX,
                lock="requirements.lock",
                title=serving,
                unused=_UNSERVED,
                system="",
                **shared,
            )
        ),
        f"{FOLDER}/steps.Dockerfile": Text(
            (_VENV + _STEPS).format(
                base=base,
                lock="steps.lock",
                title=steps,
                unused="",
                system=_GIT,
                locks="".join(f"COPY {lock} {lock}\n" for lock in locks),
                **shared,
            )
        ),
        f"{FOLDER}/Dockerfile.windows": Text(_WINDOWS.format(base=WINDOWS, **shared)),
        # without a head that names the project file: a change there must not install everything again
        f"{FOLDER}/requirements.lock": Text(subject.shipped["images/serve.lock"], comment=""),
        f"{FOLDER}/steps.lock": Text(subject.shipped["images/steps.lock"], comment=""),
        ".dockerignore": Text("".join((_IGNORED, *(f"!{lock}\n" for lock in locks)))),
    }


def _title(subject: Subject, what: str) -> str:
    return _TITLE.format(title=subject.name, what=what)
