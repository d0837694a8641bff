"""The command `labse doctor`."""

from dataclasses import asdict

from labse.cli.console import print_json
from labse.cli.options import JsonOption, ModelOption
from labse.encoder.check.diagnosis import diagnose
from labse.errors import LabseError

__all__ = ["doctor"]

_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


def doctor(model: ModelOption = None, json: JsonOption = False) -> None:
    """Look at what this machine has for encoding: processor, threads, model, disk, locale.

    The exit code is 3 if something keeps labse from encoding; a note says what could be better.

    [bold]Examples[/bold]

    labse doctor

    labse doctor --model runs/tiny/run/model --json
    """
    findings = diagnose(model)
    failed = [finding for finding in findings if finding.state == "fail"]
    if json:
        print_json({"is_well": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{_MARKS[finding.state]}  {finding.name:<{width}}  {finding.value}")
    if failed:
        raise LabseError(f"{failed[0].name}: {failed[0].value}")
