"""edvr-cli: restore video with EDVR."""
