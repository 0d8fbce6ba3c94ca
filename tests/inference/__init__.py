"""Tests of edvr_cli.inference."""
