"""What is known of models: the layer stack, residual outputs, per-layer config. Pure."""
