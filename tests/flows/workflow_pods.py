"""Pods of rendered WorkflowTemplates: as containers under podman, with image, uid, root and capabilities as written; or
as processes here, each in an empty copy of the project, where what is mounted lies elsewhere and so words say so.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import tools
from tests.flows.workflow_engine import Cluster, Doc, filled


@dataclass
class Containers(Cluster):
    """A namespace whose pods are containers. sockets: folders with sockets of servers that a network would reach."""

    sockets: Sequence[Path] = ()

    def attempt(self, template: Doc, here: Mapping[str, str], home: Path) -> tuple[int, str, Path]:
        """Run one container as the template says."""
        folders = {volume["name"]: self.volume(volume, home) for volume in template["volumes"]}
        container, security = template["container"], template["securityContext"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        argv = [
            "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt",
            "no-new-privileges", "--user", f"{security['runAsUser']}:{security['runAsGroup']}",
            "--hostname", home.name, "--workdir", container["workingDir"],
            "--memory", container["resources"]["limits"]["memory"].removesuffix("i").lower(),
        ]  # fmt: skip
        for mount in container["volumeMounts"]:
            argv += [
                "--volume",
                f"{folders[mount['name']]}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}",
            ]
        for socket in self.sockets:
            argv += ["--volume", f"{socket}:{socket}"]
        for variable in container["env"]:
            value = self.value(variable)
            argv += [] if value is None else ["--env", f"{variable['name']}={value}"]
        words = [*container["command"], *container["args"]]
        argv += ["--entrypoint", "", container["image"], *(filled(word, here) for word in words)]
        done = subprocess.run(
            [tools.command("podman"), *argv], capture_output=True, text=True, check=False, timeout=300,
            env=tools.containers(),
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, folders["tmp"]


_LATE = """
import runpy, time
now, late = time.time_ns, {}
time.time_ns = lambda: now() - late
time.time = lambda: time.time_ns() / 1e9
runpy.run_module("mainspring", run_name="__main__", alter_sys=True)
"""


@dataclass
class Processes(Cluster):
    """A namespace whose pods are processes of this machine. image: the project's files. git: where addresses lead.

    late_ns: how far the pods' clocks are behind.
    """

    image: Path = field(kw_only=True)
    git: Mapping[str, Path] = field(default_factory=dict)
    late_ns: int = 0

    def attempt(self, template: Doc, here: Mapping[str, str], home: Path) -> tuple[int, str, Path]:
        """Run the container's command in a fresh copy of the image, with its volumes, variables and words."""
        container = template["container"]
        folders = {volume["name"]: self.volume(volume, home) for volume in template["volumes"]}
        mounts = {mount["mountPath"]: folders[mount["name"]] for mount in container["volumeMounts"]}
        project = home / "image"
        shutil.copytree(self.image, project, ignore=shutil.ignore_patterns(".git", ".mainspring", "data"))
        for mount in container["volumeMounts"]:
            if mount["mountPath"].startswith(container["workingDir"]):
                place = project / Path(mount["mountPath"]).relative_to(container["workingDir"])
                if mount.get("readOnly"):  # a source's file may not be reached through a link
                    shutil.copytree(mounts[mount["mountPath"]], place)
                else:
                    place.symlink_to(mounts[mount["mountPath"]], target_is_directory=True)

        def moved(text: str) -> str:
            return next((f"{to}{text[len(path) :]}" for path, to in mounts.items() if text.startswith(path)), text)

        env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        config = "".join(f'[url "{to}"]\n    insteadOf = {address}\n' for address, to in self.git.items())
        (home / ".gitconfig").write_text(config)
        for variable in container["env"]:
            value = self.value(variable)
            env |= {} if value is None else {variable["name"]: moved(value)}
        assert container["command"] == ["mainspring"]
        argv = [
            sys.executable,
            "-c",
            _LATE.format(self.late_ns),
            *(moved(filled(word, here)) for word in container["args"]),
        ]
        done = subprocess.run(
            argv, cwd=project, env={**env, "HOME": str(home), "TMPDIR": str(folders["tmp"])}, capture_output=True,
            text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, folders["tmp"]
