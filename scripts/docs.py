"""Write the generated pages: docs/benchmarks.md, errors.md, policy.md, project-file.md and commands.md.

`--check` writes nothing and fails if a page is not what would be written.
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import mainspring
from mainspring.entry.cli.commands import COMMANDS
from mainspring.entry.cli.group import group
from mainspring.kernel.errors import MainspringError
from mainspring.project.mistakes import CODES
from mainspring.project.schema import HINT, project_schema
from mainspring.security.lint import RULES

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- written by scripts/docs.py: change the code, then `make docs` -->\n"
TEMPLATE = ROOT / "src" / "mainspring" / "project" / "templates" / "flights" / "mainspring.yaml"
_WHOLE = 1_000  # figures from here on are shown without decimals
SKIPPED = ("mainspring.project.templates", "mainspring.__main__")
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "nothing"}


def errors() -> str:
    """Return the page of every error code."""
    lines = [
        NOTE, "# Errors\n",
        "An error says what happened and what to do: `what [code]` and `fix: ...`. Codes are stable.\n",
        "Exit codes: 0 done, 1 a failed run, 2 the user's mistake, 3 a refused or rolled-back release, 75 try again,",
        "130 interrupted. Over HTTP the same codes stand in a JSON body with a 4xx or 5xx status.\n",
        "| code | exit | meaning |", "|---|---|---|",
    ]  # fmt: skip
    rows = {kind.code: (str(kind.exit_code), _first(kind.__doc__)) for kind in error_classes()}
    rows |= {code: ("2", what) for code, what in CODES.items()}
    lines += [f"| `{code}` | {exit_code} | {what} |" for code, (exit_code, what) in sorted(rows.items())]
    return "\n".join(lines) + "\n"


def benchmarks() -> str:
    """Return the page of every measurement that is committed."""
    lines = [
        NOTE, "# Benchmarks\n",
        "Each figure was written by its script (`make bench-NAME`) on the machine that ran it: 2 cores of an Intel",
        "Xeon, Linux. Absolute times vary between machines; where there is a peer, both sides were measured in turn in",
        "the same run, after their answers were compared, and the ratio is what to quote. *must* and *aim* are bounds",
        "that we set ourselves: of the ratio where there is one, else of our own figure. A row over its bound, or one",
        "that a peer wins, is shown all the same.\n",
    ]  # fmt: skip
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        rows = json.loads(path.read_text("utf-8"))
        compared = any(row["peer_name"] for row in rows)
        lines += [
            f"## {path.stem} (`make bench-{_target(path.stem)}`)\n",
            "| work | ours | peer | ratio | must | aim | |" if compared else "| work | ours | must | aim | |",
            "|---|---|---|---|---|---|---|" if compared else "|---|---|---|---|---|",
        ]
        lines += [_beside_peer(row) if compared else _measured(row) for row in rows]
        versions = {name: number for row in rows for name, number in row["versions"].items()}
        lines += ["", "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".\n"]
    return "\n".join(lines)


def _target(result: str) -> str:
    """Return the make target that writes a result."""
    return {"drift_window": "drift"}.get(result, result).replace("_", "-")


def _measured(row: Mapping[str, Any]) -> str:
    bounds = [f"{row[name]:g} {row['unit']}" if row[name] is not None else "" for name in ("must", "aim")]
    return f"| {row['work']} | {_figure(row, 'ours')} | {bounds[0]} | {bounds[1]} | {_verdict(row)} |"


def _beside_peer(row: Mapping[str, Any]) -> str:
    """Return the row with its peer; bounds are of the ratio, or of our figure where there is no peer."""
    unit = "x" if row["ratio"] is not None else f" {row['unit']}"
    bounds = [f"{row[name]:.3g}{unit}" if row[name] is not None else "" for name in ("must", "aim")]
    peer = f"{_figure(row, 'peer')} ({row['peer_name']})" if row["peer_name"] else ""
    ratio = f"{row['ratio']:.3g}x" if row["ratio"] is not None else ""
    return (
        f"| {row['work']} | {_figure(row, 'ours')} | {peer} | {ratio} | {bounds[0]} | {bounds[1]} | {_verdict(row)} |"
    )


def _figure(row: Mapping[str, Any], side: str) -> str:
    """Return a figure with its unit; a row that could not be measured says why."""
    value = row[side]
    if value is None:
        return str(row.get("why", ""))
    return f"{value:,.0f} {row['unit']}" if abs(value) >= _WHOLE and row["peer_name"] else f"{value:g} {row['unit']}"


def _verdict(row: Mapping[str, Any]) -> str:
    value = row["ours"] if row["ratio"] is None else row["ratio"]
    if value is None:
        return ""
    if row["must"] is None:
        return "" if row["ratio"] is None or row["ratio"] == 1 or (value > 1) == row["higher_is_better"] else "loses"
    return "" if value == row["must"] or (value > row["must"]) == row["higher_is_better"] else "over"


def policy() -> str:
    """Return the page of every rule of the policy lint."""
    lines = [
        NOTE, "# Policy lint\n",
        "`mainspring check` judges the manifests, workflows, images and scripts of a project; `mainspring check TREE`",
        "those of any folder, with or without a project file. `--sarif FILE` writes SARIF 2.1.0. An error exits 2, a",
        "warning is told. A line is excused by a comment on it or above it, and only with a reason:",
        "`# mainspring: allow RULE because REASON`; in the first ten lines it excuses the whole file.\n",
        "Commands in the fenced blocks of Markdown files are read too, for readers paste them. The templates of a Helm",
        "chart are judged once rendered. Nothing is executed and nothing is fetched.\n",
        "| rule | level | what is found | what to do | kube-score |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for rule in RULES.values():
        score = f"`{rule.kube_score}`" if rule.kube_score else ""
        lines.append(f"| `{rule.id}` | {rule.severity.value} | {rule.title} | {rule.fix} | {score} |")
    return "\n".join(lines) + "\n"


def error_classes() -> list[type[MainspringError]]:
    """Import every module of the package and return every error class, the most general of each code."""
    for module in pkgutil.walk_packages(mainspring.__path__, "mainspring."):
        if not module.name.startswith(SKIPPED):
            importlib.import_module(module.name)
    found: dict[str, type[MainspringError]] = {}
    waiting: list[type[MainspringError]] = [MainspringError]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.code, kind)
        waiting.extend(sorted(kind.__subclasses__(), key=lambda c: c.__qualname__))
    return list(found.values())


def project_file() -> str:
    """Return the reference of the project file."""
    schema = project_schema()
    lines = [
        NOTE, "# The project file\n",
        "`mainspring.yaml` holds every rule of one model's life. It is YAML 1.2 without surprises: no anchors, tags,",
        "merge keys or duplicate keys; unknown keys and wrong types are errors, and nothing is converted silently.",
        "`mainspring check` names every mistake at once, with its line. Durations are a whole number and a unit",
        "(`us ms s m h d w`): `6h`, `14d`.\n",
        "Editors complete and check the file when `mainspring schema` was saved beside it under the name that its",
        f"first line gives: `{HINT.strip()}`.\n",
        "## An example\n", "```yaml", TEMPLATE.read_text(encoding="utf-8").strip(), "```\n",
        "## Every setting\n", "Keys in bold are required.\n",
    ]  # fmt: skip
    lines += _section("", schema, schema["$defs"])
    return "\n".join(lines).rstrip() + "\n"


def _section(path: str, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of one mapping, then those of the mappings inside it."""
    required = schema.get("required", ())
    yield f"### {f'`{path}`' if path else 'The file'}\n"
    if path and schema.get("description"):
        yield schema["description"].replace("\n", " ") + "\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, value in schema["properties"].items():
        name = f"**`{key}`**" if key in required else f"`{key}`"
        yield f"| {name} | {_kind(value, defs)} | {_default(value)} | {_meaning(value, defs)} |"
    yield ""
    for key, value in schema["properties"].items():
        for suffix, inner in _inner(value, defs):
            yield from _section(f"{path}.{key}{suffix}".lstrip("."), inner, defs)


def _meaning(value: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    text = value.get("description") or defs.get(value.get("$ref", "").rsplit("/", 1)[-1], {}).get("description", "")
    return str(text).replace("\n", " ").replace("|", "\\|")


def _inner(value: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path suffix, schema) of every mapping with fixed keys that a value may hold."""
    if "$ref" in value:
        yield from _inner(defs[value["$ref"].rsplit("/", 1)[1]], defs)
    for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from _inner(choice, defs)
    if "properties" in value:
        yield "", value
    if "items" in value:
        for suffix, inner in _inner(value["items"], defs):
            yield f"[]{suffix}", inner
    more = [value["additionalProperties"]] if isinstance(value.get("additionalProperties"), dict) else []
    for entry in (*more, *value.get("patternProperties", {}).values()):
        for suffix, inner in _inner(entry, defs):
            yield f".<name>{suffix}", inner


def _kind(value: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    choices = (*value.get("anyOf", ()), *value.get("oneOf", ()))
    if choices:
        kinds = dict.fromkeys(_kind(choice, defs) for choice in choices if choice.get("type") != "null")
        return " or ".join(kinds)
    if "$ref" in value:
        return _kind(defs[value["$ref"].rsplit("/", 1)[1]], defs)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if value.get("type") == "array":
        return f"list of {_kind(value['items'], defs)}" if "items" in value else "list"
    if value.get("type") == "object":
        return "mapping"
    word = WORDS.get(str(value.get("type", "")), "anything")
    return f"{word} such as `{value['examples'][0]}`" if value.get("examples") else word


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None or isinstance(default, dict):
        return ""
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`" if text else ""


def commands() -> str:
    """Return the page of every command."""
    lines = [
        NOTE, "# Commands\n",
        "`-C DIR` before a command names the project's folder. Results go to stdout, progress and",
        "errors to stderr; `--json` prints one object. Exit codes are those of [errors.md](errors.md).",
        "Shell completion: `eval \"$(_MAINSPRING_COMPLETE=bash_source mainspring)\"` (or zsh_source, fish_source).\n",
        "| command | does |", "|---|---|",
        *(f"| [`{name}`](#mainspring-{name}) | {line} |" for name, (_, line) in sorted(COMMANDS.items())), "",
    ]  # fmt: skip
    context = click.Context(group, info_name="mainspring")
    for name in sorted(COMMANDS):
        command = group.get_command(context, name)
        if command is not None:
            lines += [f"## mainspring {name}\n", "```", _help(command, name, context), "```\n"]
    return "\n".join(lines).rstrip() + "\n"


def _help(command: click.Command, name: str, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _first(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split()).replace("|", "\\|")


PAGES: Mapping[str, Callable[[], str]] = {
    "benchmarks.md": benchmarks,
    "policy.md": policy,
    "errors.md": errors,
    "project-file.md": project_file,
    "commands.md": commands,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; return the exit code."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / "docs" / name, make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    for name in stale:
        print(f"docs/{name} {'is stale: make docs' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
