"""Tests of edvr_cli.train."""
