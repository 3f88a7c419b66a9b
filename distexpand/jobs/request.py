"""What travels with a job: the recipe and how it is to be run, in one variable of its environment.

The recipe itself and not its plan: a plan is made where the sources are, and the
client has neither them nor the output. Everything that can be known without them
is checked here, before anything is submitted. Rejected: a file in a working
directory, which Ray would unpack for every worker of the job; arguments on the
command line, which everybody sees in the list of processes.
"""

import base64
import hashlib
import json
import posixpath
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from distexpand import __version__
from distexpand.closeness import did_you_mean
from distexpand.cluster.options import ClusterOptions
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.json_record import record
from distexpand.formats.json_text import load_json_object
from distexpand.intake.locate import unused_places
from distexpand.jobs.credentials import refuse_credentials
from distexpand.planning.layout import Layout
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.draft import Draft
from distexpand.recipe.parse import parse_recipe
from distexpand.storage.address import local_path

REQUEST_VARIABLE = "DISTEXPAND_REQUEST"
JOB_VARIABLE = "DISTEXPAND_JOB"
MAX_ENCODED = 100_000
"""Bytes of one environment variable; Linux takes 131,072 and Ray repeats it inside another one."""

_MAX_DECODED = 64 * 2**20
_WORK_DIGITS = 16
_PREFIX = "distexpand"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One expansion to be run by a cluster.

    `places` is path by model name and `output` a path, both on the cluster; `shard_size` is in bytes;
    `version` is that of the client's package.
    """

    recipe: str
    origin: str
    places: Mapping[str, str]
    shard_size: int
    output: str
    overwrite: bool
    options: ClusterOptions
    layout: Layout = Layout.LAYERS
    version: str = __version__


def make_request(
    recipe: str,
    *,
    origin: str,
    places: Mapping[str, str],
    shard_size: int,
    layout: Layout = Layout.LAYERS,
    output: str,
    overwrite: bool = False,
    options: ClusterOptions | None = None,
    packages: Sequence[str] = (),
) -> JobRequest:
    """Return a request of which all is checked that can be without its sources.

    `packages` travel beside it, and are looked at for credentials.

    Raises:
        RecipeError: the recipe can't be read.
        UsageError: a path means nothing on the cluster, or something looks like a credential.
    """
    # A name apart from its path, first: `my-token=/models/mine` is none, and a message may then name it.
    refuse_credentials({f"--model, {number}.": name for number, name in enumerate(places, start=1)})
    refuse_credentials(
        {origin: recipe, "the output": output}
        | {f"--model {name or 'PATH'}": path for name, path in places.items()}
        | {f"--pip, {number}.": package for number, package in enumerate(packages, start=1)}
    )
    request = JobRequest(
        recipe=recipe,
        origin=origin if origin == "standard input" else PurePosixPath(origin).name,
        places=dict(places),
        shard_size=shard_size,
        layout=layout,
        output=_cluster_path(output, "the output"),
        overwrite=overwrite,
        options=options or ClusterOptions(),
    )
    for name, path in places.items():
        if local_path(path) is not None:
            _cluster_path(path, f"--model {name}=" if name else "--model ")
    _refuse_unused(places, _draft(request))
    encode_request(request)
    return request


def _cluster_path(path: str, called: str) -> str:
    """Return a path as the cluster's machines understand it, whatever the client's directory is."""
    if "://" in path:
        raise UsageError(
            f"{called} {path!r}: not a path", hint="Give a directory that every node of the cluster mounts."
        )
    if not path.startswith("/") or "\0" in path:
        raise UsageError(
            f"{called} {path!r}: not an absolute path",
            hint="It is looked up on the cluster's machines, where this directory means nothing.",
        )
    if any("\ud800" <= char <= "\udfff" for char in path):
        raise UsageError(
            f"{called} {path!r}: the path isn't UTF-8, and a job can't be given it",
            hint="Rename it, or reach it through a link with such a name.",
        )
    return "/" + posixpath.normpath(path).lstrip("/")


def _draft(request: JobRequest) -> Draft:
    """Parse the recipe; a model that only has a place is called by it, since its directory can't be seen."""
    default = ModelRef(name=request.places[""]) if "" in request.places else None
    return parse_recipe(request.recipe, origin=request.origin, default_model=default)


def _refuse_unused(places: Mapping[str, str], draft: Draft) -> None:
    named = (*draft.models, *draft.adapters)
    spare = unused_places(places, named)
    if spare:
        listed = ", ".join(str(model) for model in named)
        raise UsageError(
            f"--model {spare[0]}=...: the recipe names no such model",
            hint=f"It names {listed}. {did_you_mean(spare[0], map(str, named))}".rstrip(),
        )


def encode_request(request: JobRequest) -> str:
    """Return the request as text for one environment variable.

    Raises:
        UsageError: it is too large for one.
    """
    settled = {"layout": request.layout.value, "options": _set_options(request.options)}
    document = {**asdict(request), **settled}
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    text = base64.b64encode(zlib.compress(raw, 9)).decode()
    if len(text) > MAX_ENCODED or len(raw) > _MAX_DECODED:
        raise UsageError(
            f"{request.origin}: the recipe takes {len(text):,} bytes packed; a job can be given "
            f"{MAX_ENCODED:,}",
            hint="Run it on a machine of the cluster instead: distexpand run --ray --address auto ...",
        )
    return text


def _set_options(options: ClusterOptions) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if value is not None}


def decode_request(text: str) -> JobRequest:
    """Return what `encode_request` packed.

    Raises:
        UsageError: it is damaged or of another version.
    """
    try:
        document = load_json_object(_unpacked(text), origin="the job's request")
        options = ClusterOptions(**_known_options(document.pop("options")))
        travelled = asdict(record(_Travelled, document))
        return JobRequest(**travelled | {"layout": Layout(travelled["layout"])}, options=options)
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, CheckpointError):
        raise UsageError(
            "the job's request is damaged or of another version",
            hint=f"Submit the recipe again; this is distexpand {__version__}.",
        ) from None


def _unpacked(text: str) -> bytes:
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(base64.b64decode(text, validate=True), _MAX_DECODED)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError(_MAX_DECODED)
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class _Travelled:
    recipe: str
    origin: str
    places: Mapping[str, str]
    shard_size: int
    layout: str
    output: str
    overwrite: bool
    version: str


def _known_options(document: dict[str, Any]) -> dict[str, Any]:
    defaults = asdict(ClusterOptions())
    for name, value in document.items():
        # What is nothing by default is a number when it is given.
        kind = int if defaults[name] is None else type(defaults[name])
        if type(value) is not kind:
            raise TypeError(name)
    return document


def work_id(request: JobRequest) -> str:
    """Return what two requests for the same work have in common: 16 hexadecimal digits.

    Over the parsed recipe, so that comments, spelling and the file's name don't matter, the places of its
    models, the shard size, the layout and the output.
    """
    document = {
        "draft": _plain(_draft(request)),
        "places": dict(request.places),
        "shard_size": request.shard_size,
        "layout": request.layout.value,
        "output": request.output,
    }
    raw = json.dumps(document, sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()[:_WORK_DIGITS]


def _plain(value: Any) -> Any:
    """Return parsed data as JSON, without where in its file it stood."""
    if is_dataclass(value) and not isinstance(value, type):
        named = ((field.name, getattr(value, field.name)) for field in fields(value))
        plain = {name: _plain(item) for name, item in named if name not in {"origin", "path"}}
        return {"kind": type(value).__name__} | plain
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def submission_id(work: str, number: int) -> str:
    """Return the name of a job: the work, and how many times it was submitted."""
    return f"{_PREFIX}-{work}-{number}"


def parse_submission_id(text: str) -> tuple[str, int] | None:
    """Return work and number of one of our jobs, or nothing for any other."""
    prefix, _, rest = text.partition("-")
    work, _, number = rest.partition("-")
    ours = prefix == _PREFIX and len(work) == _WORK_DIGITS and number.isascii() and number.isdigit()
    return (work, int(number)) if ours else None
