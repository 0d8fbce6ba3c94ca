"""Tests of edvr_cli.network."""
