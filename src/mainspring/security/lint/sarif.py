"""Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mainspring.security.lint.findings import RULES, Finding


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
                "artifactLocation": {"uri": quote(item.path)}, "region": {"startLine": item.line},
            }}],
        }
        for item in findings
    ]  # fmt: skip
    driver = {"name": "mainspring", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}],
    }  # fmt: skip
