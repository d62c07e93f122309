"""Reads the folder of `assay up` for `assay show`, and prints it.

- `runs`: the runs, from the log events;
- `trace`: the spans of a run's traces, as a tree;
- `trail`: a run's audit records, each with the state of its proof;
- `chain`: the CDEvents of a run's chain;
- `output`: all of that on a terminal, and as JSON.

The services may be writing. Files are read line by line, so that memory does not grow with them.
"""
