"""Wiring of rendering: a project's settings and release files in, a subject and its ports out."""

import re
from dataclasses import replace
from pathlib import Path

from mainspring import __version__
from mainspring.app.workspace import LOCAL, Workspace
from mainspring.deliver.documents import to_document
from mainspring.deliver.render.subject import Place, Subject, Vault
from mainspring.deliver.render.vault import PREFIX
from mainspring.flows.render import RenderPorts
from mainspring.kernel.errors import MainspringError
from mainspring.project.new import TEMPLATES
from mainspring.project.settings import Environment, Settings


def subject_of(workspace: Workspace) -> Subject:
    """Return the project as renderers see it."""
    settings = workspace.settings
    return Subject(
        name=re.sub("[^a-z0-9]+", "-", settings.name).strip("-")[:40].rstrip("-"),
        model=settings.name,
        description=settings.description,
        owner=settings.owner,
        digest=workspace.project.digest,
        mainspring=__version__,
        every_us=settings.monitoring.every,
        window_us=settings.monitoring.window,
        label_delay_us=settings.monitoring.label_delay,
        error_rate=settings.rollout.error_rate,
        latency_p99_us=settings.rollout.latency_p99_us,
        page=settings.alerts.page,
        tell=settings.alerts.tell,
        webhooks=settings.alerts.to,
        retrains_on=settings.retraining.when,
        repository=settings.delivery.repository,
        branch=settings.delivery.branch,
        registry=settings.delivery.registry,
        ci=settings.delivery.ci,
        login=settings.delivery.login,
        base=settings.delivery.base,
        shipped=shipped(),
        vault=_vault(settings),
        tracking=settings.delivery.tracking,
        database=settings.delivery.database,
        steps=settings.steps,
        search=bool(settings.search.space),
        places=tuple(
            _place(workspace, environment)
            for environment in settings.environments.values()
            if environment.platform != LOCAL
        ),
    )


def shipped() -> dict[str, str]:
    """Return the texts that travel with the package for rendering: locks of the images, templates of the chart."""
    return {
        path.relative_to(TEMPLATES).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("images", "chart")
        for path in sorted((TEMPLATES / folder).rglob("*"))
        if path.is_file()
    }


def render_ports(root: Path) -> RenderPorts:
    """Return what rendering needs from outside, over the project's folder."""
    from mainspring.adapters.files.tree import Tree
    from mainspring.adapters.yaml.dump import dump

    return RenderPorts(tree=Tree(root), dump=dump)


def check_settled(root: Path) -> None:
    """Raise `GitBusy` while a merge or another git command is under way where the files would go; elsewhere nothing."""
    from mainspring.adapters.git.commands import GitFailed
    from mainspring.adapters.git.repository import find_repository

    try:
        repository = find_repository(root)
    except GitFailed:  # no repository: then nothing is under way in one
        return
    repository.check_quiet()


def _place(workspace: Workspace, environment: Environment) -> Place:
    return Place(
        name=environment.name, platform=environment.platform, replicas=environment.replicas,
        approvals=environment.approvals, scheduler=environment.scheduler, schedule=environment.schedule,
        image=environment.image, steps_image=environment.steps_image, stores=dict(environment.stores),
        release=_release(workspace, environment.name), trust=_trust(workspace, environment.name),
        serving=_serving(workspace, environment.name), network=environment.network, serverless=environment.serverless,
        data_claim=environment.data_claim, seldon=environment.seldon, options=environment.options,
        identity=environment.identity,
    )  # fmt: skip


def _vault(settings: Settings) -> Vault | None:
    """Return where secrets come from: as the file says, or else External Secrets if anything names Vault."""
    vault = settings.delivery.vault
    if vault is None or vault.means:
        return vault
    stores = [address for environment in settings.environments.values() for address in environment.stores.values()]
    named = any(reference.startswith(PREFIX) for reference in (*stores, *settings.alerts.to))
    return replace(vault, means="external-secrets") if named else None


def _release(workspace: Workspace, environment: str) -> dict[str, object] | None:
    """Return the committed release as a document; None before the first one, or outside a repository."""
    try:
        release, _ = workspace.releases.read(environment)
    except MainspringError:
        return None
    return None if release is None else to_document(release)


def _trust(workspace: Workspace, environment: str) -> dict[str, str]:
    """Return the public keys that an environment trusts, by file name."""
    return {
        f"{name[:16]}.pem": pem.decode("ascii") for name, pem in sorted(workspace.keys.trusted(environment).items())
    }


def _serving(workspace: Workspace, environment: str) -> dict[str, object]:
    """Return `serving.yaml` as a document; {} where there is none. Raises for one that is wrong."""
    from mainspring.project.reader import read_document
    from mainspring.project.serving_file import FILE, read_serving_file

    path = workspace.paths.root / "environments" / environment / FILE
    if not path.is_file():
        return {}
    data = path.read_bytes()
    read_serving_file(data, f"environments/{environment}/{FILE}")
    return dict(read_document(data).value or {})
