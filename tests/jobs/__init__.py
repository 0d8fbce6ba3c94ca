"""Tests of edvr_cli.jobs."""
