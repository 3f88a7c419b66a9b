"""Object stores and web servers: read by ranges, written by parts."""
