"""Tests of edvr_cli.bench."""
