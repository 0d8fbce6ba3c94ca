"""Training with the footage in the device's own memory: frames are cut, turned and degraded where they are used.

For a GPU that would wait for samples otherwise. :mod:`pool` holds the footage, :mod:`sampler` draws batches from it,
:mod:`optimizer` steps equal kernels together, :mod:`phases` runs a plan of phases within a given time.
"""
