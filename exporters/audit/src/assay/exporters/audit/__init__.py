"""The audit log behind a Collector: Merkle log, signed checkpoints, verifier and proofs."""
