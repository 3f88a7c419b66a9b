"""Plans: every output byte's origin as frozen data, made without reading a weight. Pure."""
