"""What `assay demo` and `assay up` run: the whole path on one machine, and a workload that is real."""
