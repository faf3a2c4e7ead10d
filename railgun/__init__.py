"""Rail Gun: a peer-to-peer messaging network. This module is the public API, nothing else."""
