"""What the user asks for: the file, its rules, and settings from the command line and the environment."""
