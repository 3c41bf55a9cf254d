"""Policy lint: what is unsafe in the manifests, workflows, images and scripts of a repository. Pure.

`sources` is what a rule sees (parsed documents, text, line numbers); `findings` holds the words and the table of rules;
`pods`, `cluster`, `gitops`, `pipelines`, `scripts`, `across` and `names` hold the rules by subject; `sarif` writes the
standard report. Nothing is executed and nothing is fetched. Start at `judge.lint`.
"""

from mainspring.security.lint.findings import RULES, Finding, Rule, Severity
from mainspring.security.lint.judge import lint
from mainspring.security.lint.sarif import sarif
from mainspring.security.lint.sources import Source

__all__ = ["RULES", "Finding", "Rule", "Severity", "Source", "lint", "sarif"]
