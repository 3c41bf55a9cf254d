"""SBOMs and scan results as evidence: what a file is, its digest, and the counts a reader looks for. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import InvalidValue

MAX_BYTES = 64 << 20
_LEVELS = {"error": "high", "warning": "medium", "note": "low"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """A file that speaks about the version. kind: `sbom` or `scan`. format: as found in it. counts: what it lists."""

    kind: str
    name: str
    digest: str
    format: str
    counts: Mapping[str, int]


def read_report(kind: str, name: str, data: bytes) -> ReportFile:
    """Return what an SBOM (CycloneDX or SPDX JSON) or scan (SARIF, Trivy or pip-audit JSON) says; refuse any other."""
    if len(data) > MAX_BYTES:
        raise InvalidValue(f"{name} has {len(data)} bytes", fix=f"give a report of at most {MAX_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    told = _told(kind, found) if isinstance(found, dict) else None
    if told is None:
        wanted = "a CycloneDX or SPDX SBOM" if kind == "sbom" else "a SARIF, Trivy or pip-audit report"
        raise InvalidValue(f"{name} is not {wanted} in JSON", fix="give the file that the tool wrote as JSON")
    return ReportFile(kind=kind, name=name, digest=digest_bytes(data), format=told[0], counts=told[1])


def _told(kind: str, read: Mapping[str, Any]) -> tuple[str, dict[str, int]] | None:
    """Return (format, counts), or None where the file is of no known format."""
    if kind == "sbom":
        if read.get("bomFormat") == "CycloneDX":
            return f"CycloneDX {read.get('specVersion', '')}".strip(), {"components": len(_items(read, "components"))}
        version = str(read.get("spdxVersion", ""))
        return (version, {"components": len(_items(read, "packages"))}) if version.startswith("SPDX-") else None
    if isinstance(read.get("runs"), list) and "version" in read:
        results = [result for run in _items(read, "runs") for result in _items(run, "results")]
        return "SARIF", _count(_LEVELS.get(str(result.get("level", "warning")), "low") for result in results)
    if "Results" in read or "ArtifactName" in read:
        listed = [found for result in _items(read, "Results") for found in _items(result, "Vulnerabilities")]
        listed += [found for result in _items(read, "Results") for found in _items(result, "Misconfigurations")]
        return "Trivy", _count(str(found.get("Severity", "unknown")).lower() for found in listed)
    if "dependencies" in read:
        holes = [hole for package in _items(read, "dependencies") for hole in _items(package, "vulns")]
        return "pip-audit", {"vulnerabilities": len(holes)}
    return None


def _items(read: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = read.get(name) or []
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
