"""A program with a pool of processes and no telemetry in it: `service.py METHOD`."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import commands


def main():
    context = multiprocessing.get_context(sys.argv[1])
    executor = ProcessPoolExecutor(2, mp_context=context)
    print(sum(executor.map(commands.double, range(4))))
    # The interpreter ends with this work in flight, and waits for it.
    for _ in range(4):
        executor.submit(commands.sleep, 0.05)


if __name__ == "__main__":
    main()
