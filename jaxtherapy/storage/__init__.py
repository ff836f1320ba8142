"""What a run leaves on the disk, and how another goes on from there."""
