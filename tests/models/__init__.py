"""Tests of edvr_cli.models."""
