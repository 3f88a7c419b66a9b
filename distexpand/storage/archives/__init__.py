"""Archives as sources: tensors out of zstd frames, without the rest."""
