"""Tests of edvr_cli.image."""
