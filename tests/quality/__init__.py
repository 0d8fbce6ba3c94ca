"""Tests of edvr_cli.quality."""
