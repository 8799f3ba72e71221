"""Creates JSON schemas for kubeconform from one version's OpenAPI document, api/openapi-spec/swagger.json of k8s.io/kubernetes.

In: the document and a folder. Out: in the folder, a file for each kind, strict: a field that the API does not have is refused.
Usage: schemas.py SWAGGER FOLDER
"""

import json
import pathlib
import sys

INT_OR_STRING = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
# May be a string or a number; the OpenAPI document has only the string.
QUANTITY = {"anyOf": [{"type": "string"}, {"type": "number"}]}


def strict(schema):
    """The schema without keywords of OpenAPI, and without additional properties where it lists its fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string":
        return INT_OR_STRING
    result = {}
    for key, value in schema.items():
        if key == "properties":
            # Here the keys are names of fields, which may equal keywords of OpenAPI.
            result[key] = {name: strict(field) for name, field in value.items()}
        elif key not in ("description", "format", "default") and not key.startswith("x-"):
            result[key] = strict(value)
    if "properties" in result and "additionalProperties" not in result:
        result["additionalProperties"] = False
    return result


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rsplit("/", 1)[1]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from references(item)


def reachable(name, definitions):
    """The definitions that `name` needs, itself included."""
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return found


def main():
    document = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    originals = document["definitions"]
    definitions = {name: strict(schema) for name, schema in originals.items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = QUANTITY
    for name, original in originals.items():
        for kind in original.get("x-kubernetes-group-version-kind", []):
            if name.startswith("io.k8s.apimachinery."):
                continue  # Status, DeleteOptions and similar, which are in every group.
            parts = [kind["kind"], kind["group"].split(".")[0], kind["version"]]
            file = folder / ("-".join(part for part in parts if part).lower() + ".json")
            schema = {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": f"#/definitions/{name}",
                "definitions": reachable(name, definitions),
            }
            file.write_text(json.dumps(schema, separators=(",", ":")), encoding="utf-8")


main()
