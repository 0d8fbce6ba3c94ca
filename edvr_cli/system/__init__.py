"""The operating system and the machine: files, threads, memory limits, downloads."""
