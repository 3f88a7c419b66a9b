"""The Python API's reference, from signatures and docstrings of the package's public names.

Which names there are is asked of `distexpand.__all__`. Rejected: Sphinx's autodoc, whose pages only the
site has, and which a diff doesn't show when a signature changes.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import distexpand
from distexpand import errors

_HEAD = """# Python API

Written by `make reference` from docstrings and signatures. Everything here is imported from
`distexpand`; importing the package itself loads none of the libraries that its functions may need.
"""
_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields):$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+): (.*)$")


def python_api_page() -> str:
    """Return the page."""
    named = [(name, getattr(distexpand, name)) for name in distexpand.__all__]
    public = [(name, value) for name, value in named if not _is_error(value)]
    parts = [_HEAD, *(_described(name, value) for name, value in public), _errors()]
    return "\n".join(parts)


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _described(name: str, value: Any) -> str:
    if not callable(value):
        return f"## {name}\n\n`{value!r}`\n"
    lines = [f"## {name}", "", "```text", _signature(name, value), "```", "", *_body(value)]
    if inspect.isclass(value):
        for member, function in _members(value):
            lines += [f"### {name}.{member}", ""]
            if inspect.isfunction(function):
                lines += ["```text", _signature(member, function), "```", ""]
            lines += _body(function)
    return "\n".join(lines)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield a class's own public methods and properties that have a docstring."""
    for name, value in vars(kind).items():
        documented = inspect.isfunction(value) or isinstance(value, property)
        if documented and not name.startswith("_") and inspect.getdoc(value):
            yield name, value


def _signature(name: str, value: Any) -> str:
    """Return a signature, one parameter a line if it is long; types as they stand in the source."""
    signature = inspect.signature(value)
    returns = ""
    if signature.return_annotation is not inspect.Signature.empty and not inspect.isclass(value):
        returns = f" -> {_type(signature.return_annotation)}"
    parts = _parameters(signature)
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= 100:  # noqa: PLR2004  # what fits beside the site's menu
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _parameters(signature: inspect.Signature) -> list[str]:
    parts = []
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        parts.append(_parameter(parameter))
    return parts


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        text = f"*{text}"
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        text = f"**{text}"
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not inspect.Parameter.empty:
        text += f" = {_default(parameter.default)}"
    return text


def _default(value: Any) -> str:
    """Return a default without what differs from one process to the next."""
    return re.sub(r"<function .+? at 0x[0-9a-f]+>|<[\w.]+ object at 0x[0-9a-f]+>", "...", repr(value))


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text)


def _body(value: Any) -> list[str]:
    """Return a docstring as Markdown; a dataclass's fields are in its signature."""
    text = inspect.getdoc(value) or ""
    if dataclasses.is_dataclass(value) and text.startswith(f"{getattr(value, '__name__', '')}("):
        return []
    lines: list[str] = []
    for line in text.splitlines():
        section = _SECTION.match(line)
        entry = _ENTRY.match(line.strip()) if line.startswith("    ") else None
        if section:
            lines += [f"*{section[1]}*", ""]
        elif entry:
            lines += [f"- `{entry[1]}`: {entry[2]}"]
        elif line.startswith("    ") and lines and lines[-1].startswith("- "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    return [*lines, ""]


def _errors() -> str:
    lines = [
        "## Errors",
        "",
        "All are subclasses of `distexpand.errors.DistexpandError`, which has `message` and `hint`.",
        "",
        "| error | when | exit code of the command line |",
        "| --- | --- | --- |",
    ]
    kinds = [kind for kind in vars(errors).values() if _is_error(kind)]
    for kind in kinds:
        first = (inspect.getdoc(kind) or "").splitlines()[0]
        lines.append(f"| `{kind.__name__}` | {first} | {kind.exit_code} |")
    return "\n".join([*lines, ""])
