"""`python -m assay.cli` is the `assay` command."""

from assay.cli.main import main

if __name__ == "__main__":
    main(prog_name="assay")
