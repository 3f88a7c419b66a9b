"""Jobs on a cluster: what travels, the client of the Jobs API, the entry point there, and following."""
