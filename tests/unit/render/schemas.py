"""The schemas of docs/schema, for tests that hold real output against them."""

import json
import os
from typing import Any

from jsonschema import Draft202012Validator

DIRECTORY = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "schema")


def load(name: str) -> dict[str, Any]:
    with open(os.path.join(DIRECTORY, f"{name}.schema.json"), encoding="utf-8") as file:
        return json.load(file)


def validate(name: str, document: Any) -> None:
    schema = load(name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        json.loads(json.dumps(document))
    )
    undocumented = set(document) - set(schema["properties"])
    assert not undocumented, f"{name}: {undocumented} not in the schema"
