"""Tests of edvr_cli.video."""
