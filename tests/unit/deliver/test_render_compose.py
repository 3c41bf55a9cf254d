"""Production on one machine: unprivileged, limited, closed to the network, secrets in files that a script makes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.unit.deliver.render_subject import place, subject

from mainspring.deliver.render import compose
from mainspring.deliver.render.content import Objects, Text
from mainspring.deliver.render.subject import Subject

RELATIVE = re.compile(r"\./(\S+?):")


def document(path: str, of: Subject | None = None) -> dict[str, Any]:
    content = compose.files(of or subject())[path]
    assert isinstance(content, Objects)
    return dict(content.documents[0])


def test_every_service_is_unprivileged_limited_and_watched() -> None:
    services = document("compose.yaml")["services"]
    assert set(services) == {
        "server", "tracking", "database", "redis", "objects", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service["user"].startswith("0")
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert "privileged" not in service


def test_only_loopback_is_published_and_the_database_reaches_nothing() -> None:
    made = document("compose.yaml")
    ports = [port for service in made["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    closed = {name for name, network in made["networks"].items() if network.get("internal")}
    assert set(made["services"]["database"]["networks"]) <= closed


def test_images_are_named_by_digest_but_for_the_one_that_says_why() -> None:
    services = document("compose.yaml", subject(place("production", "deployment")))["services"]
    loose = {name for name, service in services.items() if "@sha256:" not in service["image"]}
    assert loose == {"tracking"}
    assert re.search(r":v\d+\.\d+\.\d+", services["tracking"]["image"])
    built = document("compose.yaml", subject(place("production", "deployment", image="")))["services"]["server"]
    assert built["build"]["dockerfile"] == "ml-api/Dockerfile"


def test_what_is_used_is_declared_and_what_is_declared_is_used() -> None:
    made = document("compose.yaml")
    services = made["services"].values()
    assert {name for service in services for name in service.get("secrets", ())} == set(made["secrets"])
    assert {name for service in services for name in service["networks"]} == set(made["networks"])
    mounts = [volume for service in services for volume in service.get("volumes", ())]
    assert {volume.partition(":")[0] for volume in mounts if not volume.startswith(".")} == set(made["volumes"])
    mounted = {found[1] for volume in mounts if (found := RELATIVE.match(volume))}
    rendered = set(compose.files(subject()))
    for path in mounted:
        known = path in rendered or any(name.startswith(f"{path}/") for name in rendered)
        assert known or path.startswith(("environments/", "monitoring/")), path


def test_no_secret_stands_in_the_file() -> None:
    for service in document("compose.yaml")["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"PASSWORD$|SECRET|TOKEN", name), name
            assert not re.search(r"://[^/]*:[^/]*@", str(value))


def test_the_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    script = compose.files(subject())["compose/secrets.sh"]
    assert isinstance(script, Text)
    (tmp_path / ".mainspring").mkdir()
    (tmp_path / ".mainspring" / "tokens.json").write_text("{}\n", "utf-8")
    (tmp_path / "secrets.sh").write_text(script.body, "utf-8")

    def make() -> str:
        done = subprocess.run(
            ["sh", "secrets.sh"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin"},
        )
        return done.stderr

    assert make() == "still missing: compose/secrets/webhook\n  write the address that alerts go to into that file\n"
    folder = tmp_path / "compose" / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == set(document("compose.yaml")["secrets"]) - {"webhook"}
    identity = json.loads(before["objects.json"])["identities"][0]["credentials"][0]
    assert identity["secretKey"] == before["objects_key"].decode() != before["database"].decode()
    assert re.fullmatch(rb"[0-9a-f]{48}", before["redis"])
    assert before["redis.conf"] == b"requirepass %s\nappendonly yes\ndir /data\n" % before["redis"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in folder.iterdir())
    (folder / "webhook").write_text("http://example\n", "utf-8")
    assert make() == ""
    (folder / "redis").unlink()  # as a machine that was set up before has it
    assert make() == ""
    (folder / "redis").write_bytes((folder / "redis").read_bytes().strip())
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_prometheus_asks_the_server_with_the_labels_that_rules_select() -> None:
    made = document("compose/prometheus.yml", subject(place("dev", "deployment"), place("production", "kserve")))
    scrape = made["scrape_configs"][0]
    assert scrape["static_configs"][0]["labels"]["namespace"] == "flight-delay-production"
    assert scrape["static_configs"][0]["targets"] == ["server:9090"]
    assert made["rule_files"] == ["/etc/prometheus/rules/production.yaml"]


def test_the_server_understands_its_arguments() -> None:
    """Our own command line parses what compose gives it; nothing is started."""
    from mainspring.entry.cli.serve import serve

    made = document("compose.yaml", subject(place("production", "deployment", serving={"log": {"sample": 0.5}})))
    word, *arguments = made["services"]["server"]["command"]
    assert word == "serve"
    given = serve.make_context("serve", list(arguments)).params
    assert (given["environment"], given["metrics_port"], given["models"]) == ("production", 9090, "s3://models")
    assert given["online"] == "redis://redis:6379"
    assert str(given["serving_file"]) == "/etc/mainspring/serving.yaml"
