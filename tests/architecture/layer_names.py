"""The tensors that layers of transformers' classes have on disk: names and dtypes, taken down in a file.

Building every class takes minutes; rules about names are tried on the file in
no time. `python -m tests.architecture.layer_names` writes it anew, and
`test_identity_of_every_class` compares it with the classes themselves.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distexpand.architecture.residual.facts import NEVER_IF
from distexpand.formats.dtypes import DType

if TYPE_CHECKING:
    from tests.architecture.identity_in_place import TinyModel

FILE = Path(__file__).with_name("layer_names.json")
_KEYS = ("model_type", *NEVER_IF)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """Layers of a class that have the same tensors: what counts of the config, and dtypes by suffix."""

    config: Mapping[str, Any]
    dtypes: Mapping[str, DType]


def layer_kinds() -> dict[str, tuple[LayerKind, ...]]:
    """Return every class's kinds of layers, from the file."""
    document = json.loads(FILE.read_text())
    return {
        name: tuple(_kind(entry["config"], kind) for kind in entry["kinds"])
        for name, entry in document.items()
    }


def _kind(config: Mapping[str, Any], tensors: Mapping[str, str]) -> LayerKind:
    dtypes = {suffix: DType(dtype) for dtype, listed in tensors.items() for suffix in listed.split()}
    return LayerKind(config=config, dtypes=dtypes)


def described(model: "TinyModel") -> dict[str, Any]:
    """Return what the file says of a model."""
    kinds = []
    for index in range(model.stack.num_layers):
        names = defaultdict(list)
        for suffix, dtype in sorted(model.dtypes(index).items()):
            names[dtype.value].append(suffix)
        kind = {dtype: " ".join(listed) for dtype, listed in names.items()}
        if kind not in kinds:
            kinds.append(kind)
    config = {key: model.stack_config[key] for key in _KEYS if key in model.stack_config}
    return {"config": config, "kinds": kinds}


def main() -> None:
    """Build every class and write the file."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: PLC0415

    from tests.architecture.identity_in_place import AUTOS, VARIANTS, build  # noqa: PLC0415

    document = {}
    for name in sorted([*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS, *AUTOS]):
        with tempfile.TemporaryDirectory() as directory:
            try:
                document[name] = described(build(Path(directory) / "model", name))
            except Exception as error:  # noqa: BLE001  # a class that can't be built is left out
                sys.stderr.write(f"{name}: {type(error).__name__}: {str(error)[:100]}\n")
    FILE.write_text(json.dumps(document, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
