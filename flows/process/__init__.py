"""How this process is doing: health, log lines, what was rejected, how reading ended."""
