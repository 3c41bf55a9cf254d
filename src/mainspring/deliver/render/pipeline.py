"""The commands of a pipeline, the same for every provider: what a job runs, in bash, with its inputs in variables.

No value of the project file or of an event is pasted into a script, except names that the project file restricts to
letters, digits and dashes. A provider's renderer says when a job runs, with which rights, and where its variables come
from. `ci/data.sh`, where a project has one, brings the data that a checkout lacks.
"""

import json
from dataclasses import dataclass

from mainspring.deliver.render.images import FOLDER
from mainspring.deliver.render.pins import TRIVY
from mainspring.deliver.render.subject import Place, Subject

CHECKS = "ci/checks.lock"
SERVING, STEPS = "serving", "steps"
HOSTED = "ghcr.io"
_FOREIGN = ("docker.io", HOSTED)
_PIP = ".venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes"
_OWN = f".venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-index {FOLDER}/wheels/*.whl"

INSTALL_CHECKS = f"python3 -m venv .venv\n{_PIP} -r {CHECKS}\n"
INSTALL = f"python3 -m venv .venv\n{_PIP} -r {FOLDER}/steps.lock\n{_OWN}\n"
INSTALL_ALL = f"{INSTALL}{_PIP} -r {CHECKS}\n"
LINT = ".venv/bin/ruff check --no-cache .\n"
PROPOSED = """\
git fetch --quiet origin "$BASE"
.venv/bin/mainspring audit releases --since FETCH_HEAD
"""
TEST = """\
if [ -d tests ]; then
  PYTHONPATH=src .venv/bin/python -m pytest -q tests
else
  echo "no folder tests/: nothing to run"
fi
"""
DATA = 'if [ -f ci/data.sh ]; then\n  PYTHONPATH=src PATH="$PWD/.venv/bin:$PATH" bash ci/data.sh\nfi\n'
CHECK = ".venv/bin/mainspring check\n"
RENDER_CHECK = ".venv/bin/mainspring render --check\n"
KEY = """\
: "${MAINSPRING_SIGNING_KEY:?is not set: see mainspring ci secrets}"
trap 'rm -f .mainspring/keys/signing.pem' EXIT
(umask 077 && mkdir -p .mainspring/keys && printf '%s\\n' "$MAINSPRING_SIGNING_KEY" > .mainspring/keys/signing.pem)
"""
"""The key on disk for the rest of one script. `ASKPASS`, which comes after it where both are used, ends both."""
BEGIN = '.venv/bin/mainspring step begin --run "ci-$RUN" --env "$ENVIRONMENT" --reason "pipeline $RUN"\n'
TRAIN = """\
for step in fetch-data preprocess train-model validate-model; do
  .venv/bin/mainspring step "$step" --run "ci-$RUN" --env "$ENVIRONMENT"
done
"""
REGISTER = (
    KEY
    + """\
code=0
.venv/bin/mainspring step register-model --run "ci-$RUN" --env "$ENVIRONMENT" --json > train.json || code=$?
cat train.json
if [ "$code" -ne 0 ]; then exit "$code"; fi
"""
)
TRAINED = "import json; print('DIGEST=' + json.load(open('train.json'))['digest'])"
ASKPASS = """\
trap 'rm -f .git/push-token .git/askpass .mainspring/keys/signing.pem' EXIT
(umask 077 && printf '%s\\n' "$PUSH_TOKEN" > .git/push-token)
# shellcheck disable=SC2016 # git runs this in a shell of its own
printf '#!/bin/sh\\ncase $1 in Username*) echo "%s" ;; *) cat "%s/.git/push-token" ;; esac\\n' \\
  "$PUSH_USER" "$PWD" > .git/askpass
chmod 700 .git/askpass
export GIT_ASKPASS="$PWD/.git/askpass" GIT_TERMINAL_PROMPT=0
git config user.name mainspring
git config user.email mainspring@localhost
"""
WATCH = KEY + ASKPASS + '.venv/bin/mainspring watch --once --env "$ENVIRONMENT" ${LOG:+--log "$LOG"}\n'
AUDIT = "".join(
    f".venv/bin/pip-audit --strict --disable-pip --require-hashes -r {FOLDER}/{lock}\n"
    for lock in ("requirements.lock", "steps.lock")
)
# what is scored: each environment's pods, in the form that kube-score knows, though nothing was released or built yet.
# An image by digest need not be pulled again, and the policies of other jobs find their pods elsewhere
_NOTHING = f"sha256:{'0' * 64}"
_SHAPE = {
    "platform": "deployment", "image": f"scored@{_NOTHING}", "schema": 1,
    "champion": {"version": 1, "digest": _NOTHING},
}  # fmt: skip
SCORE = """\
case "$KUBE_SCORE_IMAGE" in
  *@sha256:*) ;;
  *) echo "KUBE_SCORE_IMAGE must name kube-score by digest: see mainspring ci secrets" >&2; exit 1 ;;
esac
cat > shape.json <<'END'
SHAPE
END
for name in $ENVIRONMENTS; do
  space=$(printf '%s' "$PROJECT-$name" | tr _ -)
  helm template "$PROJECT" helm/ml-api-chart --namespace "$space" \\
    --values "environments/$name/values.yaml" --values shape.json --set-string "model=$MODEL" > manifests.yaml
  cat security/network-policies.yaml >> manifests.yaml
  docker run --rm --interactive --network none --read-only "$KUBE_SCORE_IMAGE" score \\
    --ignore-test container-image-pull-policy --ignore-test networkpolicy-targets-pod - < manifests.yaml
done
""".replace("SHAPE", json.dumps(_SHAPE))
SCAN = f"""\
mkdir -p evidence
docker image save --output "evidence/$KIND.tar" "mainspring-$KIND:scan"
scan() {{
  docker run --rm --volume "$PWD/evidence:/evidence" --volume trivy:/cache \\
    {TRIVY} \\
    image --quiet --cache-dir /cache --input "/evidence/$KIND.tar" "$@"
}}
scan --format cyclonedx --output "/evidence/$KIND.cdx.json"
scan --format json --scanners vuln,secret --output "/evidence/$KIND.trivy.json"
scan --scanners vuln,secret --severity HIGH,CRITICAL --ignore-unfixed --exit-code 1
rm "evidence/$KIND.tar"
"""
_PROMOTE = """\
for attempt in 1 2 3 4 5; do
  code=0
  # shellcheck disable=SC2086 # a flag or nothing
  .venv/bin/mainspring promote {version}--to "$ENVIRONMENT" $HOW --reason "pipeline $RUN" || code=$?
  if [ "$code" -eq 75 ]; then continue; fi
  if [ "$code" -ne 0 ]; then exit "$code"; fi
  git fetch --quiet origin "$BRANCH"
  git checkout --quiet --force -B "$BRANCH" FETCH_HEAD
  .venv/bin/mainspring ci images --env "$ENVIRONMENT" {images}
  git add --update
  if git diff --cached --quiet; then exit 0; fi
  git commit --quiet --message "Images of $ENVIRONMENT [skip ci]"
  if git push --quiet origin "$BRANCH"; then exit 0; fi
  echo "attempt $attempt: somebody else pushed first"
done
exit 75
"""
_EVIDENCE = "--sbom evidence/serving.cdx.json --scan evidence/serving.trivy.json "
PROMOTE = (
    KEY + ASKPASS + _PROMOTE.format(images='--serving "$SERVING" --steps "$STEPS"', version=f'"$DIGEST" {_EVIDENCE}')
)
PROMOTE_ONWARDS = KEY + ASKPASS + _PROMOTE.format(images='--from "$BEFORE"', version="")


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a project. file: its definition."""

    kind: str
    file: str


IMAGES = (Image(SERVING, f"{FOLDER}/Dockerfile"), Image(STEPS, f"{FOLDER}/steps.Dockerfile"))


def host(registry: str) -> str:
    """Return the host of a registry; Docker Hub's where the name has none."""
    first, slash, _ = registry.partition("/")
    return first if slash and ("." in first or ":" in first) else "docker.io"


def login(subject: Subject) -> str:
    """Return how a pipeline logs in: `token` (its own), `dockerhub`, or `registry` where that token counts nothing."""
    if subject.login == "dockerhub":
        return "dockerhub"
    there = host(subject.registry)
    own = there == HOSTED if subject.ci == "github" else there not in _FOREIGN
    return "token" if own else "registry"


def how(subject: Subject, place: Place) -> str:
    """Return how a version enters: at once, but for the last environment, whose traffic can judge a canary."""
    return "" if place == subject.places[-1] else "--now"


def watched(subject: Subject) -> tuple[Place, ...]:
    """Return the environments that a pipeline watches: those that no scheduler in the cluster does."""
    return tuple(place for place in subject.places if not place.scheduler)


def unattended(place: Place) -> str:
    """Return where what nobody waits for keeps its secrets: beside an environment that people must approve."""
    return f"{place.name}-unattended" if place.approvals else place.name
