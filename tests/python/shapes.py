"""Checks raw responses against botocore's service models.

botocore's parsers skip unknown members and do not check most types. Here every response is compared with its
output shape before it is parsed: no unknown member, no missing required member, correct types, known enum
values.
"""

import base64
import json
import xml.etree.ElementTree as ElementTree


class Findings:
    """The problems in the responses so far, and the operations that were seen."""

    def __init__(self):
        self.wrong = []
        self.operations = set()

    def watch(self, client):
        """Checks every response that `client` gets from now on."""
        client.meta.events.register("before-parse", self._before_parse)

    def _before_parse(self, operation_model, response_dict, **_):
        if response_dict["status_code"] >= 300:
            return
        service = operation_model.service_model
        name = f"{service.service_name}.{operation_model.name}"
        self.operations.add(name)
        body, shape = response_dict["body"], operation_model.output_shape
        if service.resolved_protocol == "json":
            self._check_json(name, body, shape)
        elif service.resolved_protocol == "query":
            self._check_query(name, body, shape)
        else:
            self.wrong.append(f"{name}: no check for the protocol {service.resolved_protocol}")

    def _check_json(self, name, body, shape):
        if shape is None:
            if body not in (b"", b"{}"):
                self.wrong.append(f"{name}: {body!r} where the model has no output")
            return
        self._walk_json(name, json.loads(body), shape)

    def _walk_json(self, path, value, shape):
        kind = shape.type_name
        if kind == "structure":
            if not isinstance(value, dict):
                self._mistyped(path, value, kind)
                return
            for missing in set(shape.required_members) - set(value):
                self.wrong.append(f"{path}: {missing} is required and missing")
            known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
            for name, inner in value.items():
                if name not in known:
                    self.wrong.append(f"{path}: {name} is not in the model")
                else:
                    self._walk_json(f"{path}.{name}", inner, known[name])
        elif kind == "list":
            if not isinstance(value, list):
                self._mistyped(path, value, kind)
                return
            for place, inner in enumerate(value):
                self._walk_json(f"{path}[{place}]", inner, shape.member)
        elif kind == "map":
            if not isinstance(value, dict):
                self._mistyped(path, value, kind)
                return
            for key, inner in value.items():
                self._walk_json(f"{path}[{key}]", inner, shape.value)
        elif kind == "string":
            if not isinstance(value, str):
                self._mistyped(path, value, kind)
            elif getattr(shape, "enum", None) and value not in shape.enum:
                self.wrong.append(f"{path}: {value!r} is none of {shape.enum}")
        elif kind in ("integer", "long"):
            if not isinstance(value, int) or isinstance(value, bool):
                self._mistyped(path, value, kind)
        elif kind in ("double", "float", "timestamp"):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                self._mistyped(path, value, kind)
        elif kind == "boolean":
            if not isinstance(value, bool):
                self._mistyped(path, value, kind)
        elif kind == "blob":
            try:
                base64.b64decode(value, validate=True)
            except (TypeError, ValueError):
                self._mistyped(path, value, kind)
        else:
            self.wrong.append(f"{path}: no check for the type {kind}")

    def _mistyped(self, path, value, kind):
        self.wrong.append(f"{path}: {value!r} is no {kind}")

    def _check_query(self, name, body, shape):
        root = ElementTree.fromstring(body)
        operation = name.split(".")[1]
        parts = [_local(child) for child in root]
        if _local(root) != f"{operation}Response" or "ResponseMetadata" not in parts:
            self.wrong.append(f"{name}: the response is a {_local(root)} of {parts}")
        for child in root:
            if _local(child) == f"{operation}Result":
                for member in child:
                    if shape is None or _local(member) not in shape.members:
                        self.wrong.append(f"{name}: {_local(member)} is not in the model")


def _local(element):
    return element.tag.rsplit("}", 1)[-1]
