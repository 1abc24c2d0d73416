"""The part of JSON Schema that tells most bodies apart: types, required properties, enumerations, bounds, patterns."""
import re

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "number": (int, float), "integer": int,
}
WORDS = {"type", "required", "properties", "additionalProperties", "items", "enum", "minimum", "maximum", "minLength",
         "maxLength", "pattern", "description"}


def known(schema, path):
    """Refuses words that would not be checked: a schema must not promise more than it keeps."""
    unknown = set(schema) - WORDS
    if unknown:
        raise ValueError(f"{path}: {sorted(unknown)[0]} is not known; accepted: {', '.join(sorted(WORDS))}")
    if schema.get("type", "object") not in TYPES:
        raise ValueError(f"{path}: there is no type {schema['type']}; accepted: {', '.join(TYPES)}")
    re.compile(schema.get("pattern", ""))
    for name, inner in schema.get("properties", {}).items():
        known(inner, f"{path}.{name}")
    if "items" in schema:
        known(schema["items"], f"{path}[]")


def check(schema, value, path):
    """Every fault of a value, one after the other."""
    kind = schema.get("type")
    is_truth = isinstance(value, bool) and kind in ("number", "integer")
    if kind and (is_truth or not isinstance(value, TYPES[kind])):
        yield f"{path} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, dict):
        yield from members(schema, value, path)
    elif isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            yield from check(schema["items"], item, f"{path}[{at}]")
    elif isinstance(value, str):
        yield from text(schema, value, path)
    elif isinstance(value, (int, float)):
        if value < schema.get("minimum", value):
            yield f"{path} is less than {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield f"{path} is more than {schema['maximum']}"


def members(schema, value, path):
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}.{name} is missing"
    properties = schema.get("properties", {})
    for name, inner in value.items():
        if name in properties:
            yield from check(properties[name], inner, f"{path}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{path}.{name} is not known"


def text(schema, value, path):
    if len(value) < schema.get("minLength", 0):
        yield f"{path} is shorter than {schema['minLength']}"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{path} is longer than {schema['maxLength']}"
    if not re.search(schema.get("pattern", ""), value):
        yield f"{path} does not match {schema['pattern']}"
