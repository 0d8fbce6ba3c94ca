"""Tests of edvr_cli.ops."""
