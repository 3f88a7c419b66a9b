"""The proving process: reads a question, loads skeletons with transformers, answers on standard output."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from distexpand.proof.classes import UnknownModelError, load_class, read_config
from distexpand.proof.keys import key_problem, load_skeleton, source_problem
from distexpand.proof.kinds import kind_problem
from distexpand.proof.request import LoadProof, Question, decode_question

_ADVICE = "Nothing was written. If you know that it is right nevertheless: --no-check-load."
_LONGEST = 600


def main() -> None:
    """Answer the question on standard input; nothing but the answer goes to standard output."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what libraries print
    proof = prove(decode_question(sys.stdin.read()))
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(proof)))


def prove(question: Question) -> LoadProof:
    """Load, compare, and say how it ended."""
    import transformers  # noqa: PLC0415  # takes seconds

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    directory, trust = dict(question.sources)[question.base], question.trust_remote_code
    try:
        config = read_config(directory, trust_remote_code=trust)
        model_class = load_class(config, directory, trust_remote_code=trust)
    except UnknownModelError as error:
        return LoadProof(skipped=str(error))
    except Exception as error:  # noqa: BLE001  # a library may fail in any way
        return LoadProof(skipped=f"the source's own config can't be read here: {_words(error)}")
    try:
        base = load_skeleton(model_class, config, directory)
    except Exception as error:  # noqa: BLE001
        return _prove_kinds_alone(
            question, model_class, f"the source itself can't be loaded here: {_words(error)}"
        )
    loader = f"{model_class.__name__} of transformers {transformers.__version__}"
    try:
        output = load_skeleton(
            model_class, read_config(question.output, trust_remote_code=trust), question.output
        )
        problem = key_problem(base, output, question) or kind_problem(
            output.model, _sources(question, model_class, {question.base: base.model}), question
        )
    except Exception as error:  # noqa: BLE001
        problem = f"the output wouldn't load as {loader}, as the source does: {_words(error)}"
    return LoadProof(
        loader=loader,
        problem=problem,
        advice=_ADVICE if problem else "",
        source_problem=source_problem(base),
    )


def _prove_kinds_alone(question: Question, model_class: Any, reason: str) -> LoadProof:
    """Compare layers where weights can't be loaded, for want of a package or a device that they need."""
    try:
        output = _bare(model_class, question.output, question)
        problem = kind_problem(output, _sources(question, model_class, {}), question)
    except Exception:  # noqa: BLE001  # the reason for the first failure tells more
        problem = ""
    return LoadProof(problem=problem, advice=_ADVICE if problem else "", skipped=reason)


def _sources(question: Question, model_class: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model on the meta device for every source."""
    return {
        name: known[name] if name in known else _bare(model_class, directory, question)
        for name, directory in question.sources
    }


def _bare(model_class: Any, directory: str, question: Question) -> Any:
    """Return a model on the meta device without loading anything into it."""
    import torch  # noqa: PLC0415

    config = read_config(directory, trust_remote_code=question.trust_remote_code)
    with torch.device("meta"):
        return model_class(config)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}"
