"""The published recipes of `configs/`, and what is known of their outputs, as a table.

`parameters_billion` is what the source states (model card, name or paper), rounded as
stated there; computed counts come within 2% of it. Llama 3.1 405B is meant as first
released, with 16 key and value heads (410B): BigLlama's config still has them.
"""

from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One recipe: the family of its source models, their layer count, and the output's size."""

    file: str
    family: str
    source_layers: int
    layers: int
    parameters_billion: float
    default_model: str | None = None

    @property
    def text(self) -> str:
        """The recipe's text."""
        return (CONFIGS / self.file).read_text()


def _row(
    file: str, family: str, source_layers: int, layers: int, billions: float, *, model: str | None = None
) -> Published:
    return Published(
        file=file,
        family=family,
        source_layers=source_layers,
        layers=layers,
        parameters_billion=billions,
        default_model=model,
    )


MISTRAL = "mistralai/Mistral-7B-v0.1"

PUBLISHED = {
    row.file.partition(".yml")[0].partition(".json")[0]: row
    for row in (
        _row("goliath-120b.yml", "llama2-70b", 80, 137, 118),
        _row("megadolphin-120b.yml", "llama2-70b", 80, 140, 120),
        _row("venus-120b-v1.2.yml", "llama2-70b", 80, 140, 122),
        _row("venus-103b-v1.1.yml", "llama2-70b", 80, 120, 103),
        _row("theprofessor-155b.yml", "llama2-70b", 80, 180, 155),
        _row("solar-10.7b.yml", "mistral-7b", 32, 48, 10.7),
        _row("mistral-11b.yml", "mistral-7b", 32, 48, 10.7),
        _row("mistral-10b-layer-map.json", "mistral-7b", 32, 48, 10.7, model=MISTRAL),
        _row("llama-pro-8b.yml", "llama2-7b", 32, 40, 8.3),
        _row("openchat-3.5-0106-36-layers-end.yml", "mistral-7b", 32, 36, 8.11),
        _row("openchat-3.5-0106-40-layers-end.yml", "mistral-7b", 32, 40, 8.99),
        _row("openchat-3.5-0106-40-layers-interleaved.yml", "mistral-7b", 32, 40, 8.99),
        _row("openchat-3.5-0106-48-layers-end.yml", "mistral-7b", 32, 48, 10.7),
        _row("meta-llama-3-120b.yml", "llama3-70b", 80, 140, 122),
        _row("bigllama-3.1-681b.yml", "llama3.1-405b", 126, 210, 681),
        _row("bigllama-3.1-1t.yml", "llama3.1-405b", 210, 315, 1020),
        _row("phi-4-25b.yml", "phi-4", 40, 70, 24.9),
    )
}
