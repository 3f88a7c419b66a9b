"""Where bytes live: ranges read from sources, attempts written and given their final name."""
