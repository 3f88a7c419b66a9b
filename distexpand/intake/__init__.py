"""From a checkpoint on storage to its catalog, config and side files; no weight is read."""
