"""What is shown while a run goes on: bars, lines and events, of one machine and of a cluster."""
