"""One run of the job, from its first process to its end."""
