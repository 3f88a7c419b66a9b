"""What the proving process is asked and what it answers, as JSON over its standard input and output."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenLayer:
    """Where an output layer comes from: a source's name and its layer.

    The parts of an `identity` block add nothing, whatever they compute by their place.
    """

    model: str
    layer: int
    identity: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Directories of skeletons, and which source layer every output layer has to be like.

    `output` and `base` have headers; `sources` pairs each source's name with a directory
    that has its config. `prefix` is what the output's layers are called on disk.
    """

    output: str
    base: str
    sources: tuple[tuple[str, str], ...]
    layers: tuple[ProvenLayer, ...]
    prefix: str
    trust_remote_code: bool

    def encode(self) -> str:
        """Return the question as JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProof:
    """How the proof ended.

    `problem` says what is wrong, or nothing; `advice` what to do about it. `skipped` says
    why there was no proof. `loader` names the class and the version of transformers.
    `source_problem` says which key the source itself lacks or has in another shape; so will the output.
    """

    loader: str = ""
    problem: str = ""
    advice: str = ""
    skipped: str = ""
    source_problem: str = ""

    def to_json(self) -> dict[str, str]:
        """Return what a successful or skipped proof tells."""
        return {"loader": self.loader, "skipped": self.skipped, "source_problem": self.source_problem}


def decode_question(text: str) -> Question:
    """Return what `Question.encode` wrote."""
    document = json.loads(text)
    layers = tuple(ProvenLayer(**layer) for layer in document.pop("layers"))
    sources = tuple((str(name), str(path)) for name, path in document.pop("sources"))
    return Question(layers=layers, sources=sources, **document)
