"""The public CI's workflows, by zizmor, without a network."""

import json
import subprocess
import sys
from pathlib import Path

from tools.security.finding import Finding, Result


def check(root: Path) -> Result:
    """Ask zizmor for everything it knows, down to what is merely untidy."""
    program = Path(sys.executable).with_name("zizmor")
    command = [str(program), "--offline", "--no-progress", "--persona=pedantic", "--format=json", ".github"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    try:
        said = json.loads(run.stdout)
    except ValueError:
        return Result("workflows", unchecked=f"zizmor gave no answer: {run.stderr.strip()[-200:]}")
    findings = tuple(Finding("workflows", f"{_file(one)} {one['ident']}", one["desc"]) for one in said)
    return Result("workflows", findings, looked_at=f"{len(list((root / '.github/workflows').glob('*.yml')))} workflows")


def _file(found: dict[str, list[dict[str, dict[str, dict[str, dict[str, str]]]]]]) -> str:
    return found["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"].removeprefix("./")
