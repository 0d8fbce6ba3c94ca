"""Restartable restoration: plan, segments, manifest, backends, and batches of videos."""
