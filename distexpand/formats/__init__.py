"""File formats: dtypes, safetensors headers, the shard index and the catalog. Pure."""
