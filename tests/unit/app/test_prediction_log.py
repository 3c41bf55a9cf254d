"""How the log is wired: the committed serving.yaml, sinks by URL, secrets, and a model's own word about its columns."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.app.small_workspace import make_workspace
from tests.unit.serve.serving_kit import contract
from tests.unit.serve.test_serve_log import record

from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.git.commands import run_git
from mainspring.adapters.objects.bucket import Bucket
from mainspring.app.prediction_log import LocalLog, log_rules, logged_key, open_log, serving_file
from mainspring.app.secrets import SecretMissing, resolved
from mainspring.app.serving import ServerRoom, server_parts
from mainspring.kernel.contract import read_contract
from mainspring.kernel.errors import InvalidValue
from mainspring.project.serving_file import ServingFile, SinkEntry
from mainspring.serve.frames import frames
from mainspring.serve.log_packing import unpack
from mainspring.serve.log_rules import LogRules

SECRET = "a secret of some length"


def committed(root: Path, text: str) -> None:
    path = root / "environments" / "local" / "serving.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    run_git(root, "add", "-f", str(path))
    run_git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "serving")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "small", rows=20)


def test_the_serving_file_counts_as_committed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving_file(root, "local") == ServingFile()
    committed(root, "log: {sample: 0.5, redact: ['@key'], key_secret: 'secret://env/LOG_KEY'}\n")
    (root / "environments" / "local" / "serving.yaml").write_text("log: {sample: 0.1}", "utf-8")
    found = serving_file(root, "local")
    assert (found.sample, found.redact) == (0.5, ("@key",))
    with pytest.raises(SecretMissing):
        server_parts(ServerRoom(root=root, environment="local"), replay_clock=False)
    monkeypatch.setenv("LOG_KEY", SECRET)
    parts = server_parts(ServerRoom(root=root, environment="local", worker=2), replay_clock=False)
    log = parts.fleet.members[0].log
    assert log.rules == LogRules(sample=0.5, redact=frozenset({"@key"}), key_secret=SECRET.encode())
    log.close()
    assert (root / ".mainspring" / "log" / "writer-2.lock").exists()
    assert logged_key(root, "local", False)("p1") == log_rules(found).key("p1") != "p1"


def test_a_running_server_follows_the_serving_file_from_commit_to_commit(root: Path) -> None:
    parts = server_parts(ServerRoom(root=root, environment="local"), replay_clock=False)
    member = parts.fleet.members[0]
    member.log.redact_also(["size"])
    member.reconciler.look()
    assert logged_key(root, "local", False)("p1") == "p1"
    committed(root, "log: {sample: 0.5, redact: ['@key']}\n")
    member.reconciler.look()
    assert member.log.rules == LogRules(sample=0.5, redact=frozenset({"@key", "size"}))
    assert logged_key(root, "local", False)("p1") == ""
    committed(root, "log: {sample: 7}\n")
    member.reconciler.look()
    assert "log.sample" in member.log.rules_failure
    assert member.log.rules.sample == 0.5
    committed(root, "log: {}\n")
    member.reconciler.look()
    assert (member.log.rules, member.log.rules_failure) == (LogRules(redact=frozenset({"size"})), "")
    member.log.close()


def test_keys_are_plain_unless_somebody_says_they_are_personal(root: Path) -> None:
    assert logged_key(root, "local", False)("p1") == "p1"
    assert logged_key(root, "local", True)("p1") == ""


def test_further_sinks_get_what_the_disk_gets(tmp_path: Path) -> None:
    url = (tmp_path / "bucket").as_uri()
    found = ServingFile(redact=("x",), sinks=(SinkEntry(to=url),))
    log = open_log(LocalLog(tmp_path / "log"), found, source="local/small")
    log.put(record(1))
    log.flush()
    log.close()
    assert [report.name for report in log.sinks()] == ["disk", url]
    bucket = Bucket(url)
    (name,) = bucket.names("log")
    assert name.startswith("log/2013/05/01/06/0x")
    (far,) = [one for frame in frames(bucket.get(name, 10_000) or b"") for one in unpack(frame.payload, name)]
    (near,) = SegmentReader(tmp_path / "log").read().records
    assert far.redacted == near.redacted == ["x"]
    assert far.keys == record(1).keys


@pytest.mark.parametrize("url", ["ftp://x/y", "s3:/x", "https://user:word@host/x"])
def test_a_sink_that_cannot_be_is_refused_before_anything_is_opened(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidValue, match="log-sink"):
        open_log(LocalLog(tmp_path / "log"), ServingFile(), source="", sinks=[url])
    assert not (tmp_path / "log").exists()


def test_a_secret_is_named_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", f" {SECRET}\n")
    assert resolved("secret://env/SOME_TOKEN") == SECRET
    assert resolved("") == ""
    for reference in ("secret://env/ABSENT", "secret://vault/a#b", SECRET):
        with pytest.raises(SecretMissing):
            resolved(reference)
    assert "ABSENT" not in os.environ


def test_a_contract_says_what_is_never_logged() -> None:
    plain = contract()
    assert b"redact" not in plain.to_bytes()
    assert read_contract(plain.to_bytes()) == plain
    told = replace(plain, redact=("weather.wind", "@key"))
    assert read_contract(told.to_bytes()).redact == ("weather.wind", "@key")
