"""The corpus of bad project files: each case has its line, its code and its message, and nothing is written."""

from pathlib import Path

import pytest
from tests.corpus import numbers_of

from mainspring.project.mistakes import path_text

from .example import EXAMPLE, changed, mistakes

_LINE = EXAMPLE.splitlines()
_BOMB = "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(9))


def line_of(part: str) -> int:
    return next(number for number, line in enumerate(_LINE, start=1) if part in line)


READING = [
    ("1 empty", b"", 1, "the file is empty"),
    ("1 comments", b"# nothing\n# here\n", 1, "the file is empty"),
    ("1 marker", b"---\n", 1, "the file is empty"),
    ("2 two documents", EXAMPLE.encode() + b"---\na: 1\n", len(_LINE) + 1, "a second document starts here"),
    ("5 tag", b"version: !!python/object/apply:os.system [x]\n", 1, "asks for a special type"),
    ("6 alias bomb", _BOMB.encode(), 1, "the anchor &a marks a part to repeat"),
    ("6 self reference", b"a: &a [*a]\n", 1, "the anchor &a marks a part to repeat"),
    ("6 alias", b"a: *other\n", 1, "the alias *other repeats another part"),
    ("7 merge", b"a:\n  <<: {b: 1}\n", 2, "the merge key << copies another part"),
    ("14 tab", b"data:\n\tsources: {}\n", 2, "a tab indents this line"),
    ("14 utf-16", "version: 1\n".encode("utf-16"), 1, "the file is UTF-16 or holds NUL bytes"),
    ("14 not utf-8", b"version: 1\nowner: \xff\n", 2, "byte 18 (0xff) is not UTF-8"),
    ("15 large", b"a: 1\n" * 300_000, 1, "at most 1,000,000 are read"),
    ("15 nodes", b"a: [" + b"1," * 20_000 + b"1]\n", 1, "more than 10,000 values"),
    ("15 depth", b"[" * 500, 1, "nested deeper than 50 levels"),
    ("directive", b"%YAML 1.1\n---\na: 1\n", 2, "the file has a % directive"),
    ("syntax", b"a: [1, 2\nb: 3\n", 2, "not YAML: expected ',' or ']'"),
    ("a list", b"- 1\n", 1, "the file is not a mapping of sections"),
    ("complex key", b"? [1]\n: 2\n", 1, "a key is a list or a mapping"),
]


@pytest.mark.parametrize(("data", "line", "what"), [case[1:] for case in READING], ids=[case[0] for case in READING])
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, data: bytes, line: int, what: str) -> None:
    found = mistakes(tmp_path, data)
    assert len(found) == 1
    assert found[0].line == line
    assert what in found[0].what
    assert found[0].fix
    assert [path.name for path in tmp_path.iterdir()] == ["mainspring.yaml"]


# (case, part replaced, replacement, path, code, words of the message or fix)
VALUES = [
    ("3 duplicate key", "owner: ops-analytics", "owner: a\nowner: b", "owner", "project.duplicate", "first in line 4"),
    ("4 misspelt key", "at_least: 0.60", "at_lest: 0.60", "gates[1].floor.at_lest", "project.unknown", "`at_least`"),
    ("4 misspelt section", "monitoring:", "monitorin:", "monitorin", "project.unknown", "`monitoring`"),
    ("8 octal", "project: flight-delay", "project: 012", "project", "project.value", "read differently by YAML tools"),
    ("8 hexadecimal", "threshold: 1", "threshold: 0x1", "security.signing.threshold", "project.value", "differently"),
    ("8 sexagesimal", "min_rows: 500}", "min_rows: 8:20}", "gates[1].floor.min_rows", "project.type", "a whole number"),
    ("8 boolean word", "approvals: 1", "approvals: on", "environments.production.approvals", "project.type", "'on'"),
    ("9 float for integer", "min_requests: 500", "min_requests: 5e2", "release.canary.min_requests", "project.type", "500.0"),
    ("10 nan", "margin: 0.01", "margin: .nan", "gates[0].champion.margin", "project.value", "not a finite number"),
    ("10 inf", "epsilon: 0.05", "epsilon: .inf", "gates[4].robustness.epsilon", "project.value", "not a finite number"),
    ("10 overflow", "epsilon: 0.05", "epsilon: 1e999", "gates[4].robustness.epsilon", "project.value", "not a finite"),
    ("10 negative", "margin: 0.01", "margin: -0.01", "gates[0].champion.margin", "project.value", "at least 0"),
    ("10 above one", "at_least: 0.60", "at_least: 60", "gates[1].floor.at_least", "project.value", "at most 1"),
    ("11 falling steps", "[5, 25, 100]", "[10, 50, 40]", "release.canary.steps", "project.value", "must rise"),
    ("11 too high", "[5, 25, 100]", "[5, 125]", "release.canary.steps", "project.value", "end at 100"),
    ("11 no steps", "[5, 25, 100]", "[]", "release.canary.steps", "project.value", "must rise"),
    ("12 up", "uri: data/flights.parquet", "uri: ../flights.parquet", "data.sources.flights.uri", "project.path", "leaves"),
    ("12 absolute", "uri: data/flights.parquet", "uri: /etc/x.parquet", "data.sources.flights.uri", "project.path", "absolute"),
    ("12 home", "uri: data/flights.parquet", "uri: ~/x.parquet", "data.sources.flights.uri", "project.path", "home"),
    ("12 drive", "uri: data/flights.parquet", "uri: 'C:\\x.parquet'", "data.sources.flights.uri", "project.path", "absolute"),
    ("12 remote", "uri: data/flights.parquet", "uri: s3://b/x.parquet", "data.sources.flights.uri", "project.unsupported", "yet"),
    ("12 kind", "uri: data/flights.parquet", "uri: data/x.pkl", "data.sources.flights.uri", "project.path", "neither"),
    ("13 slash", "project: flight-delay", "project: a/b", "project", "project.name", "cannot name"),
    ("13 dots", "project: flight-delay", "project: ..", "project", "project.name", "cannot name"),
    ("13 nul", "project: flight-delay", 'project: "a\\0b"', "project", "project.name", "cannot name"),
    ("13 newline", "project: flight-delay", 'project: "a\\nb"', "project", "project.name", "cannot name"),
    ("13 long", "project: flight-delay", f"project: {'a' * 300}", "project", "project.name", "at most 63"),
    ("13 upper case", "project: flight-delay", "project: Flight", "project", "project.name", "lower-case"),
    ("13 dash", "project: flight-delay", "project: -x", "project", "project.name", "start with a letter"),
    ("13 an environment like an option", "  dev: {", "  --upload-pack=x: {", "environments.--upload-pack=x", "project.name", "cannot name"),
    ("13 a newline in a key", "  dev: {", '  "a\\nb": {', r"environments.a\nb", "project.name", r"'a\nb' cannot name"),
    ("13 letters that turn the text", "  dev: {", '  "a\\u202eb": {', r"environments.a\u202eb", "project.name", "cannot name"),
    ("13 a device of Windows", "  dev: {", "  con: {", "environments.con", "project.name", "not con or nul"),
    ("13 a branch like an option", "environments:\n", "delivery: {branch: --upload-pack=x}\nenvironments:\n", "delivery.branch", "project.value", "not a branch"),
    ("13 a remote like an option", "environments:\n", "delivery: {remote: --upload-pack=x}\nenvironments:\n", "delivery.remote", "project.name", "cannot name"),
    ("13 a repository that runs", "environments:\n", 'delivery: {repository: "ext::sh -c x"}\nenvironments:\n', "delivery.repository", "project.value", "not a git repository"),
    ("16 in a list", '"secret://env/ALERT_WEBHOOK"', "xoxb-1234567890-abcdef", "alerts.to[0]", "project.secret", "secret://"),
    ("16 in an address", "redis://features:6379", "redis://u:p4ss@features:6379",
     "environments.production.stores.online", "project.secret", "secret://"),
    ("another online store", "redis://features:6379", "sqlite:///features.db",
     "environments.production.stores.online", "project.value", "in Redis only"),
    ("17 cron typo", "scheduler: cronworkflow", 'schedule: "0 /6 "', "environments.production.schedule", "project.value", "2 cron fields"),
    ("17 cron field", "scheduler: cronworkflow", 'schedule: "0 /6 * * *"', "environments.production.schedule", "project.value", "hour '/6'"),
    ("17 too often", "scheduler: cronworkflow", 'schedule: "* * * * *"', "environments.production.schedule", "project.value", "every 1m"),
    ("17 never", "scheduler: cronworkflow", 'schedule: "0 0 31 2,4 *"', "environments.production.schedule", "project.value", "do not have"),
    ("17 other digits", "scheduler: cronworkflow", 'schedule: "\uff15 0 * * *"', "environments.production.schedule", "project.value", "not understood"),
    ("17 two lines", "scheduler: cronworkflow", 'schedule: "0 0\\n* * *"', "environments.production.schedule", "project.value", "cron fields"),
    ("18 an address", "scheduler: cronworkflow", f"image: http://x@sha256:{'0' * 64}", "environments.production.image", "project.value", "by digest"),
    ("18 an option", "scheduler: cronworkflow", f"image: --privileged@sha256:{'0' * 64}", "environments.production.image", "project.value", "by digest"),
    ("18 a newline", "scheduler: cronworkflow", f'image: "x\\n@sha256:{"0" * 64}"', "environments.production.image", "project.value", "by digest"),
    ("18 latest", "scheduler: cronworkflow", "image: ml-api:latest", "environments.production.image", "project.value", "change unseen"),
    ("18 shell", "scheduler: cronworkflow", 'image: "a;rm -rf $HOME"', "environments.production.image", "project.value", "digest"),
    ("19 feature twice", "  weather:  {from: weather,", "  schedule: {from: weather,", "features.schedule", "project.duplicate", "defined twice"),
    ("19 column twice", "[carrier, origin, dest, distance],", "[carrier, carrier],", "features.schedule.columns[1]", "project.duplicate", "listed twice"),
    ("19 cycle", "{hour: hour(scheduled_departure)}", "{a: b + 1, b: a + 1}", "features.schedule.derive.a", "project.reference", "a -> b -> a"),
    ("19 leak", "[carrier, origin, dest, distance],", "[arrival_delay],", "features.schedule.columns[0]", "feature.leak", "only at arrived_at"),
    ("19 derived leak", "hour(scheduled_departure)", "arrival_delay + 1", "features.schedule.derive.hour", "feature.leak", "arrival_delay"),
    ("20 unknown metric", "metric: roc_auc", "metric: f1", "gates[1].floor.metric", "project.value", "log_loss, roc_auc"),
    ("unknown gate", "- latency: {p99: 5ms}", "- latensy: {p99: 5ms}", "gates[2]", "project.value", "`latency`"),
    ("duration", "hold: 6h", "hold: 6 hours", "release.canary.hold", "project.value", "a number and a unit"),
    ("no duration", "hold: 6h", "hold: 0h", "release.canary.hold", "project.value", "is not a duration"),
    ("percent", "error_rate: 1%", "error_rate: 101%", "release.canary.abort.error_rate", "project.value", "0 to 100"),
    ("number for percent", "error_rate: 1%", "error_rate: 0.01", "release.canary.abort.error_rate", "project.type", "1%"),
    ("k of n", "2 of 3", "3 of 2", "retraining.persist", "project.value", "2 of 3"),
    ("budget", "6 per 30d", "6 per month", "retraining.budget.runs", "project.value", "6 per 30d"),
    ("rate", "100000 per 1d", "lots", "security.query_budget", "project.value", "per duration"),
    ("quoted number", "min_requests: 500", 'min_requests: "500"', "release.canary.min_requests", "project.type", "a whole number"),
    ("no value", "holdout: 14d}", "holdout: }", "training.holdout", "project.type", "has no value"),
    ("missing", "key: flight_id\n", "# no key\n", "data.sources.flights.key", "project.missing", "key is missing"),
    ("unknown source", "{from: weather, by", "{from: wether, by", "features.weather.from", "project.reference", "`weather`"),
    ("no by", "by: origin, max_age: 3h, ", "", "features.weather", "project.value", "`by` is missing"),
    ("ask time", "at: scheduled_departure}", "at: arrived_at}", "ask.at", "project.value", "write at: scheduled_departure"),
    ("window", "window: 7d", "window: 7h", "monitoring.window", "project.value", "6h"),
    ("aggregate", "avg(late)", "median(late)", "features.carrier_lately.aggregate.late_share", "expression.invalid", "count(*)"),
    ("expression", "arrival_delay >= 15", "arrival_delay >=", "target.expression", "expression.invalid", "expected a value"),
    ("function", "flight_delay.train:fit", "flight_delay.train", "training.function", "project.value", "package.module:function"),
    ("search", "holdout: 14d", "holdout: 14d, search: {trials: 20}", "training.search.space", "project.missing", "space is missing"),
    ("no span", "holdout: 14d", "holdout: 14d, search: {space: {depth: {low: 9, high: 3}}}", "training.search.space.depth", "project.value", "low must be below high"),
    ("two spaces", "holdout: 14d", "holdout: 14d, search: {space: {depth: {low: 1, values: [3]}}}", "training.search.space.depth", "project.value", "values, or low and high"),
    ("blanks", "holdout: 14d", "holdout: 14d, search: {space: {loss: {values: [a b]}}}", "training.search.space.loss", "project.value", "one word"),
    ("slice", "by: carrier, at_least", "by: carier, at_least", "gates[1].floor.by", "project.reference", "schedule.carrier"),
    ("floor of a loss", "metric: roc_auc", "metric: brier", "gates[1].floor.at_least", "project.value", "`at_most`"),
    ("zone", "event_time: observed_at}", "event_time: observed_at, zone: Mars/Olympus}", "data.sources.weather.zone", "project.value", "IANA"),
    ("pattern", "'[A-Z0-9]{2}'", "'[A-Z'", "data.expectations.flights.carrier.pattern", "project.value", "regular expression"),
    ("range", "[1, 6000]", "[6000, 1]", "data.expectations.flights.distance.between", "project.value", "lowest first"),
    ("replicas", "{min: 3, max: 30}", "{min: 30, max: 3}", "environments.production.replicas", "project.value", "swap"),
    ("page and tell", "tell: [drift,", "tell: [quality,", "alerts.tell[0]", "project.value", "also pages"),
    ("reserved", "  schedule: {from", "  ask: {from", "features.ask", "project.name", "stands for the question"),
    ("no features", EXAMPLE[EXAMPLE.index("features:"):EXAMPLE.index("target:")], "features: {}\n\n", "features", "project.value", "at least 1"),
    ("long text", "owner: ops-analytics", f"owner: {'a ' * 1500}", "owner", "project.value", "at most 2000"),
    ("two gates in one", "- latency: {p99: 5ms}", "- {latency: {p99: 5ms}, floor: {metric: roc_auc}}", "gates[2]", "project.value", "not one gate"),
    ("not a gate", "- latency: {p99: 5ms}", "- latency", "gates[2]", "project.value", "not one gate"),
    ("always known", "event_time: observed_at}", "event_time: always, known_at: {a: others}}", "data.sources.weather.known_at", "project.value", "remove known_at"),
    ("others twice", "arrived_at: others}", "arrived_at: others, b: others}", "data.sources.flights.known_at", "project.value", "stands twice"),
    ("known twice", "arrived_at: others}", "b: [carrier], arrived_at: others}", "data.sources.flights.known_at.b[0]", "project.duplicate", "already known"),
    ("others misspelt", "arrived_at: others}", "arrived_at: other}", "data.sources.flights.known_at.arrived_at", "project.value", "`others`"),
    ("ask key", "ask: {from: flights, key: flight_id", "ask: {from: flights, key: id", "ask.key", "project.value", "write key: flight_id"),
    ("unknown ask", "ask: {from: flights", "ask: {from: planes", "ask.from", "project.reference", "no source is called 'planes'"),
    ("outcome elsewhere", "{name: late, from: flights", "{name: late, from: weather", "target.from", "project.reference", "write from: flights"),
    ("window by nothing", "by: carrier, window", "by: [], window", "features.carrier_lately.by", "project.value", "group by"),
    ("slow refresh", "refresh: 1h", "refresh: 2d", "features.carrier_lately.refresh", "project.value", "longer than the window"),
    ("sum of all", "avg(late)", "sum(*)", "features.carrier_lately.aggregate.late_share", "expression.invalid", "not an aggregate"),
    ("age of the own row", "{from: flights, columns: [", "{from: flights, max_age: 1h, columns: [", "features.schedule.max_age", "project.value", "no age"),
    ("empty feature", "{from: weather, by: origin, max_age: 3h, columns: [wind_speed, precip, visib]}", "{from: weather, by: origin}", "features.weather", "project.value", "neither columns nor derive"),
    ("derived twice", "{hour: hour(", "{distance: hour(", "features.schedule.derive.distance", "project.duplicate", "another name"),
    ("derived wrongly", "hour(scheduled_departure)", "hour(", "features.schedule.derive.hour", "expression.invalid", "expected"),
    ("rules of no source", "    flights: {distance:", "    flihgts: {distance:", "data.expectations.flihgts", "project.reference", "`flights`"),
    ("local scheduler", "platform: kserve", "platform: local", "environments.production", "project.value", "no scheduler or image"),
    ("limit below", "false_discovery: 0.05", "false_discovery: 1", "monitoring.drift.false_discovery", "project.value", "below 1"),
    ("limit above", "epsilon: 0.05", "epsilon: 0", "gates[4].robustness.epsilon", "project.value", "above 0"),
    ("column name", "by: origin, max", "by: or-igin, max", "features.weather.by", "project.value", "is not a column name"),
    ("wrong form", "by: origin, max", "by: true, max", "features.weather.by", "project.type", "or a list"),
    ("secret reference", '"secret://env/ALERT_WEBHOOK"', '"env ALERT"', "alerts.to[0]", "project.value", "secret://env/NAME"),
    ("kubeflow", "platform: kserve", "platform: kubeflow", "environments.production.platform", "project.unsupported", "KServe today"),
    ("same namespace", "  dev: {", "  dev-a: {}\n  dev_a: {}\n  dev: {", "environments.dev_a", "project.value", "share a namespace"),
    ("no knative", "platform: deployment, ", "platform: deployment, serverless: true, ", "environments.dev.serverless", "project.value", "platform: kserve"),
    ("every network", "platform: kserve", "platform: kserve\n    network: {outside: [0.0.0.0/0]}", "environments.production.network.outside[0]", "project.value", "every address"),
    ("host bits", "platform: kserve", "platform: kserve\n    network: {api: [10.0.0.1/8]}", "environments.production.network.api[0]", "project.value", "not a network"),
    ("caller", "platform: kserve", "platform: kserve\n    network: {callers: ['../x']}", "environments.production.network.callers[0]", "project.value", ""),
    ("ingress on kserve", "platform: kserve", "platform: kserve\n    ingress: {host: a.example}", "environments.production.ingress", "project.value", "makes its own routes"),
    ("two ways in", "platform: deployment, ", "platform: deployment, ingress: {host: a.example}, gateway: {name: g, namespace: n}, ", "environments.dev.gateway", "project.value", "would both lead"),
    ("host", "platform: deployment, ", "platform: deployment, ingress: {host: 'a.example/x'}, ", "environments.dev.ingress.host", "project.value", ""),
    ("nothing to scale", "platform: deployment, ", "platform: deployment, autoscaling: {cpu: 50}, ", "environments.dev.autoscaling", "project.value", "replicas: {min: 2"),
    ("rows for an hpa", "platform: deployment, ", "platform: rollouts, replicas: {min: 1, max: 3}, autoscaling: {rows_per_second: 9}, ", "environments.dev.autoscaling", "project.value", "kind: keda"),
    ("keda on kserve", "platform: deployment, ", "platform: kserve, replicas: {min: 1, max: 3}, autoscaling: {kind: keda}, ", "environments.dev.autoscaling", "project.value", "autoscaler of its own"),
    ("taint", "platform: kserve", "platform: kserve\n    placement: {steps: {tolerations: [{key: a, effect: No}]}}", "environments.production.placement.steps.tolerations[0].effect", "project.value", ""),
    ("priority on knative", "platform: kserve", "platform: kserve\n    serverless: true\n    placement: {server: {priority_class: high}}", "environments.production.placement", "project.value", "no priority class"),
    ("tls on kserve", "platform: kserve", "platform: kserve\n    server: {tls_secret: cert}", "environments.production.server", "project.value", "without TLS"),
    ("identity", "platform: kserve", "platform: kserve\n    identity: {'a b': c}", "environments.production.identity.a b", "project.value", ""),
    ("local pods", "platform: deployment, ", "platform: local, server: {grpc: true}, ", "environments.dev.server", "project.value", "no pods"),
    ("holdout", "window: all, holdout", "window: 14d, holdout", "training.holdout", "project.value", "leaves nothing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "path", "code", "words"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES]
)
def test_a_bad_value_is_named_with_its_line_code_and_way_out(
    tmp_path: Path, old: str, new: str, path: str, code: str, words: str
) -> None:
    found = mistakes(tmp_path, changed(old, new))
    here = [mistake for mistake in found if path_text(mistake.path) == path and mistake.code == code]
    assert here, [mistake.text("f") for mistake in found]
    assert words in f"{here[0].what} / {here[0].fix}"
    assert abs(here[0].line - line_of(old.splitlines()[0])) <= 2
    assert "\n" not in here[0].text("f").split("\n  fix: ")[0]
    assert [file.name for file in tmp_path.iterdir()] == ["mainspring.yaml"]


def test_a_table_without_times_can_be_neither_asked_about_nor_windowed(tmp_path: Path) -> None:
    found = mistakes(tmp_path, changed("event_time: scheduled_departure\n", "event_time: always\n"))
    told = {path_text(mistake.path): mistake.line for mistake in found}
    assert told["ask.from"] == line_of("ask: {from")
    assert told["features.carrier_lately.from"] == line_of("carrier_lately:")


def test_words_that_older_yaml_reads_as_booleans_stay_text_where_text_is_meant(tmp_path: Path) -> None:
    for word in ("on", "no", "12:30:45", "yes"):
        assert mistakes(tmp_path, changed("owner: ops-analytics", f"owner: {word}")) == ()


def test_exponents_are_numbers(tmp_path: Path) -> None:
    assert mistakes(tmp_path, changed("margin: 0.01", "margin: 1e-2")) == ()


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert mistakes(tmp_path, b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode()) == ()


def test_a_link_that_leaves_the_project_is_refused(tmp_path: Path) -> None:
    outside, project = tmp_path / "outside", tmp_path / "project"
    outside.mkdir()
    (project / "data").mkdir(parents=True)
    (outside / "flights.parquet").write_bytes(b"token")
    (project / "data" / "flights.parquet").symlink_to(outside / "flights.parquet")
    found = mistakes(project, EXAMPLE)
    assert [(mistake.code, mistake.line) for mistake in found] == [("project.path", line_of("uri: data/flights"))]
    assert "symbolic link" in found[0].what


def test_a_secret_is_never_printed_whatever_else_is_wrong_with_it(tmp_path: Path) -> None:
    secret = "hunter2-AKIAABCDEFGHIJKLMNOP"
    text = changed("window: all", f"window: all, params: {{api_key: {secret}}}").replace("12h", secret)
    found = mistakes(tmp_path, text.replace("persist: 2 of 3", f"persist: {secret}"))
    assert {mistake.code for mistake in found} == {"project.secret"}
    assert len(found) == 3
    assert secret not in "".join(mistake.text("f") for mistake in found)


def test_every_mistake_is_told_at_once_in_file_order(tmp_path: Path) -> None:
    text = EXAMPLE
    for old, new in [
        ("owner:", "ownr:"), ("at: scheduled_departure}", "at: arrived_at}"), ("max_age: 3h", "max_age: 3x"),
        ("avg(late)", "avg(late"), ("- latency: {p99: 5ms}", "- latency: 5"), ("metric: roc_auc", "metric: brier"),
        ("[5, 25, 100]", "[5]"), ("persist: 2 of 3", "persist: often"), ("approvals: 1", "approvals: many"),
    ]:  # fmt: skip
        text = text.replace(old, new, 1)
    found = mistakes(tmp_path, text)
    assert [path_text(mistake.path) for mistake in found] == [
        "ownr", "ask.at", "features.weather.max_age", "features.carrier_lately.aggregate.late_share",
        "gates[1].floor.at_least", "gates[2].latency", "release.canary.steps", "retraining.persist",
        "environments.production.approvals",
    ]  # fmt: skip
    assert [mistake.line for mistake in found] == sorted(mistake.line for mistake in found)


def test_every_number_of_the_group_is_proved() -> None:
    """Cases 1 to 20 (group C1) of the corpus; ids of the tables begin with them."""
    tables = [(case[0],) for case in (*READING, *VALUES)]
    assert numbers_of(tables) == set(range(1, 21))
