"""Tests of edvr_cli.cli."""
