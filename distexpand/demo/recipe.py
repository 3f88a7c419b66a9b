"""The demonstration's recipe: block expansion of a small language model, as LLaMA Pro does it."""

BLOCKS = 6

RECIPE = f"""\
# LLaMA Pro block expansion: an identity copy after every fifth layer.
model: SmolLM2-135M-Instruct
block_expansion:
  blocks: {BLOCKS}
  where: interleaved
"""

PROMPTS = (
    "What is gravity?",
    "Name three colours of the rainbow.",
    "Write one sentence about the sea.",
)

TEXT = "The expanded model has more layers, and yet it says exactly what the smaller one says, word for word."
