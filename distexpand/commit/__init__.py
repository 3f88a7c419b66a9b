"""Journal, final names and manifest: the only place that makes an output visible."""
