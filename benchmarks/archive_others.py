"""zipnn on one file, by the interpreter that has it: `archive_others.py compress|decompress IN OUT THREADS`.

Prints the seconds from reading the file to having written the other; what importing torch takes isn't
zipnn's. It is given a copy, as it changes what it is given.
"""

import json
import sys
import time
from pathlib import Path

from zipnn import ZipNN  # type: ignore[import-not-found]


def main() -> None:
    what, source, target, threads = sys.argv[1:]
    zipnn = ZipNN(input_format="byte", bytearray_dtype="bfloat16", threads=int(threads))
    begun, processor = time.perf_counter(), time.process_time()
    raw = bytearray(Path(source).read_bytes())
    made = zipnn.compress(raw) if what == "compress" else zipnn.decompress(raw)
    Path(target).write_bytes(made)
    seconds = {"seconds": time.perf_counter() - begun, "processor_seconds": time.process_time() - processor}
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
