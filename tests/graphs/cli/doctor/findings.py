from __future__ import annotations

from graphs.cli.doctor import Finding


def by_part(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.part: finding for finding in findings}


def told(finding: Finding) -> tuple[str, str, str]:
    return str(finding.health), finding.found, finding.advice
