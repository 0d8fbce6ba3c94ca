"""Tests of edvr_cli.system."""
