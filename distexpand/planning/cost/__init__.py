"""What a run would take: bytes and work, put on nodes and disks of given rates."""
