"""Models that run, one layer in memory at a time: recipes before anything is written, checkpoints, outputs.

What needs torch and transformers is imported when it is called.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.api import plan_again, plan_expansion
from distexpand.errors import UsageError
from distexpand.formats.archive_index import ARCHIVE_NAME
from distexpand.intake.locate import locate
from distexpand.intake.recipe_text import recipe_text
from distexpand.recipe.canonical import ModelRef
from distexpand.running.exactness import base_model, only_adds_identities
from distexpand.running.libraries import require_running
from distexpand.running.runnable import Runnable, planned_model, stored_model
from distexpand.storage.opening import open_store
from distexpand.verifying.structure import read_manifest

if TYPE_CHECKING:
    from distexpand.running.comparison import Comparison
    from distexpand.running.evaluation import EvalOptions, Perplexity
    from distexpand.running.loading import Loaded

Progress = Callable[[float], None]

_RECIPE_SUFFIXES = frozenset({".yml", ".yaml", ".json"})


def evaluate(
    model: str,
    text: str,
    options: "EvalOptions",
    *,
    places: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> "Perplexity":
    """Return how well a model predicts a text, with one of its layers in memory at a time.

    Args:
        model: a checkpoint's directory, address or name on the Hub; or a recipe's file: then what it
            would make.
        text: at least two tokens of it.
        options: how it is cut and the model runs.
        places: path or address of the models that a recipe names.
        progress: told the share of the work that is done.

    Raises:
        DistexpandError: there is no such model, or it can't be run on the text.
    """
    require_running()
    from distexpand.running.perplexity import perplexity  # noqa: PLC0415  # brings torch

    with _runnable(model, places or {}) as runnable:
        return perplexity(runnable, text, options, progress=progress)


def _runnable(model: str, places: Mapping[str, str]) -> AbstractContextManager[Runnable]:
    if Path(model).is_file() or Path(model).suffix in _RECIPE_SUFFIXES:
        given = recipe_text(Path(model))
        plan = plan_expansion(given.text, origin=given.origin, places=places).plan
        return planned_model(plan, origin=model)
    try:
        return stored_model(locate(ModelRef(name=model), places), origin=model)
    except UsageError:
        raise UsageError(
            f"{model}: neither a recipe's file nor a model's directory",
            hint="Give a recipe's file, or a model's directory, address or name on the Hub.",
        ) from None


def compare_with_source(
    output: Path,
    *,
    places: Mapping[str, str] | None = None,
    text: str | None = None,
    device: str = "cpu",
    trust_remote_code: bool = False,
    progress: Progress = lambda _: None,
) -> "Comparison":
    """Compare an output's logits with those of its recipe's base model, one layer in memory at a time.

    Args:
        output: the directory.
        places: path or address of the models that its recipe names.
        text: what is said to both; a small one of ours if not given.
        device: where they run.
        trust_remote_code: whether code that came with the model may run.
        progress: told the share of the work that is done.

    Returns:
        The comparison; it tells whether both had to be equal.

    Raises:
        DistexpandError: the output or its source can't be read or run.
    """
    require_running()
    from distexpand.running.comparison import compare  # noqa: PLC0415  # brings torch

    planned = plan_again(read_manifest(output), places or {})
    base = base_model(planned.plan)
    with (
        stored_model(open_store(dict(planned.plan.locations)[base]), origin=base) as source,
        stored_model(open_store(str(output.resolve())), origin=str(output)) as made,
    ):
        return compare(
            source,
            made,
            has_to_be_equal=only_adds_identities(planned.plan, layers_before=planned.layers_before),
            text=text,
            device=device,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )


def load_output(output: Path, *, memory: int | None = None, trust_remote_code: bool = False) -> "Loaded":
    """Load an output in transformers, its layers from disk where it is larger than half the memory.

    Args:
        output: the directory.
        memory: bytes that may be taken; half of what is free if not given.
        trust_remote_code: whether code that came with the model may run.

    Raises:
        UsageError: it is an archive.
        VerificationError: a key is missing, unexpected or of another shape.
        DistexpandError: the output can't be read.
    """
    require_running()
    from distexpand.running.loading import load  # noqa: PLC0415  # brings torch

    if (output / ARCHIVE_NAME).exists():
        raise UsageError(
            f"{output}: is an archive, which transformers can't load",
            hint="Unpack it first: distexpand unpack ARCHIVE OUT",
        )
    manifest = read_manifest(output)
    return load(
        output,
        size=sum(shard.size for shard in manifest.shards),
        layers=len(manifest.layers),
        prefix=manifest.layer_prefix,
        memory=memory,
        trust_remote_code=trust_remote_code,
    )
