"""Asks a vulnerability service about every package in constraints.txt (R31).

pip-audit alone would not do: where an index serves packages but no vulnerability records, it skips every
package and still ends with "No known vulnerabilities found". What was not asked is not reported as clean.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NOT_RUN = "pip-audit: not run, service not reachable"
# How pip-audit and requests name a service that does not answer; anything else is a fault of ours.
UNREACHABLE = ("Could not connect", "not redirecting", "ConnectionError", "Timeout", "ProxyError", "SSLError")
COMMAND = [sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--require-hashes"]
OPTIONS = ["--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]


def judge(report: str, errors: str) -> tuple[int, str]:
    """Exit code and message for what pip-audit wrote to stdout and stderr."""
    if not report.strip():
        return (0, NOT_RUN) if any(sign in errors for sign in UNREACHABLE) else (1, errors)
    packages = json.loads(report)["dependencies"]
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        return 0, f"{NOT_RUN} (it knows none of the {len(packages)} packages)"
    found = [
        f"{package['name']} {package['version']}: {finding['id']}, fixed in "
        f"{', '.join(finding['fix_versions']) or 'no version yet'}"
        for package in asked
        for finding in package["vulns"]
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = found or [f"pip-audit: no known vulnerability in {len(asked)} packages"]
    if skipped:
        lines.append(f"pip-audit: not known to the service: {', '.join(skipped)}")
    return int(bool(found)), "\n".join(lines)


def main() -> int:
    """Runs pip-audit over the locked versions; 1 if it found something or broke."""
    root = Path(__file__).parent.parent
    done = subprocess.run([*COMMAND, *OPTIONS], cwd=root, capture_output=True, text=True, check=False)
    code, message = judge(done.stdout, done.stderr)
    print(message)
    return code


if __name__ == "__main__":
    sys.exit(main())
