"""schemathesis over the whole OpenAPI document."""

import os
import pathlib
import subprocess
import tempfile

# Verifying and redelivering wait for the receiver up to 30 seconds.
LONGEST_SECONDS = "35"
EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "40")


def check(stage, _receiver):
    # It keeps a cache where it is started.
    with tempfile.TemporaryDirectory() as folder:
        done = _run(stage, folder)
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode == 0, "\n  ".join(lines[-200:])
    return next((line.strip() for line in reversed(lines) if "generated" in line), lines[-1])


def _run(stage, folder):
    return subprocess.run(
        [
            "schemathesis", "run", f"{stage.url}/openapi.json", "--seed", "1", "--max-examples", EXAMPLES,
            "--header", f"X-API-Key: {stage.api_key}", "--checks", "all", "--continue-on-failure", "--no-color",
            "--request-timeout", "60", "--max-response-time", LONGEST_SECONDS,
            *EXCLUDED,
        ],
        capture_output=True, text=True, cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(pathlib.Path(__file__).parent)},
    )


# Checks that do not fit, each with its reason.
EXCLUDED = (
    # What JSON Schema can't say: that a URL's host must be public, that a cursor was made here, that a user exists.
    "--exclude-checks", "positive_data_acceptance",
)
