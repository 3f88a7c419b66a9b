"""Archives: a checkpoint packed with zstd, and unpacked again; reading them as sources is `storage`'s."""
