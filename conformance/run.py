"""Runs the checks that are named, or all, against the programs on DATABASE_URL."""

import importlib
import sys
import time

from stage import Receiver, programs

CHECKS = ("instavm", "standardwebhooks", "oauth2", "fastapi", "generated_client", "schemathesis")


def main(names):
    unknown = set(names) - set(CHECKS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(CHECKS)}")
    failed = []
    for name in names or CHECKS:
        began = time.monotonic()
        # Each with programs and a tenant of its own: one run's leavings are no other's.
        with programs() as stage:
            receiver = Receiver()
            try:
                said, mark = importlib.import_module(f"check_{name}").check(stage, receiver), "ok  "
            except Exception as error:  # every failure is reported, and the other checks still run
                said, mark = f"{type(error).__name__}: {error}", "FAIL"
                failed.append(name)
            finally:
                receiver.close()
        print(f"{mark} {name} ({time.monotonic() - began:.0f} s): {said}", flush=True)
    if failed:
        sys.exit(f"conformance: {', '.join(failed)} failed")


if __name__ == "__main__":
    main(sys.argv[1:])
