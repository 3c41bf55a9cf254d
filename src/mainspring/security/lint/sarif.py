"""Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines."""

import re
from collections.abc import Sequence
from typing import Any

from mainspring.security.lint.findings import RULES, Finding

_ESCAPED = re.compile(rb"[^A-Za-z0-9._~/-]")


def _uri(path: str) -> str:
    """Return a path as a relative reference (RFC 3986), whatever characters a file is called by."""
    return _ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], path.encode("utf-8", "surrogateescape")).decode("ascii")


def sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """Return one SARIF log with one run. version: of mainspring."""
    rules = [
        {
            "id": rule.id, "shortDescription": {"text": rule.title}, "help": {"text": rule.fix},
            "defaultConfiguration": {"level": rule.severity.value},
            **({"properties": {"kube-score": rule.kube_score}} if rule.kube_score else {}),
        }
        for rule in RULES.values()
    ]  # fmt: skip
    order = {rule: index for index, rule in enumerate(RULES)}
    results = [
        {
            "ruleId": item.rule.id, "ruleIndex": order[item.rule.id], "level": item.rule.severity.value,
            "message": {"text": f"{item.what}. {item.rule.fix}"},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": _uri(item.path)}, "region": {"startLine": item.line},
            }}],
        }
        for item in findings
    ]  # fmt: skip
    driver = {"name": "mainspring", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}],
    }  # fmt: skip
