"""What a member counts of itself, and the names under which it is told."""
