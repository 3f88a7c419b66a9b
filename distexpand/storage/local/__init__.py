"""Directories on disks and mounts: read and written in the way that the file system does best."""
