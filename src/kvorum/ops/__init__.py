"""What operators do with data files, with no server: look, check, restore, migrate."""
