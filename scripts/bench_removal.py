"""How long a person who is removed at a provider stays: from the removal to the last request that is answered, with an API key, a device and a
stream. It is measured by the tests that sign in at a real oidc-provider and a real Keycloak in a browser, with `recheck = "10s"`; what counts is
that time, not how fast the program was built."""

import re
import subprocess

# The time between two checks, and what a check and the test's own steps may take.
RECHECK, MARGIN = 10, 5


def bench(report):
    command = ["cargo", "test", "--test", "it", "--", "loses_everything", "--nocapture"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.findall(r"from the removal: the key ([\d.]+)(m?s), the device ([\d.]+)(m?s), the stream ([\d.]+)(m?s)", shown.stderr)
    if shown.returncode != 0 or not found:
        report.row("removed at the provider", "the tests failed", "they pass", False)
        return
    for key, key_unit, device, device_unit, stream, stream_unit in found:
        pairs = ((key, key_unit), (device, device_unit), (stream, stream_unit))
        seconds = [float(value) / (1000 if unit == "ms" else 1) for value, unit in pairs]
        value = ", ".join(f"{second:.1f}" for second in seconds) + " s"
        report.row("removed at the provider: key, device, stream", value, f"{RECHECK + MARGIN} s", max(seconds) <= RECHECK + MARGIN)
