"""What the drivers' files say on a machine that does light work; hardware.py says where they stand.

Units: MHz, ms; hwmon has millivolt, microwatt, microjoule, millidegree Celsius, revolutions per minute.
"""

from collections.abc import Mapping

from lab import hardware_clients

# A machine sold with 32 GB: the firmware has kept its share.
MEMINFO = """\
MemTotal:       32651892 kB
MemFree:        21340576 kB
MemAvailable:   28913404 kB
Buffers:          412088 kB
Cached:          7243120 kB
SwapCached:            0 kB
SwapTotal:       8388604 kB
SwapFree:        8388604 kB
"""

OLD_KERNEL, KERNEL = "6.12.107+deb13-amd64", "7.3.4+deb13-amd64"
"""Debian 13's own kernel, and the one of its backports."""

MICROWATTS = 120_000_000
"""What each part of a card draws while the machine is watched."""

I915_HWMON = {
    "name": "i915",
    "in0_input": "765",
    "power1_max": "190000000",
    "power1_max_interval": "28000",
    "power1_rated_max": "190000000",
    "energy1_input": "81234567890",
    "fan1_input": "1180",
    "temp1_input": "52000",
}

# As of kernel 6.17: labels for temperatures; three fans, of which this card has two.
XE_HWMON = {
    "name": "xe",
    "in1_input": "690",
    "in1_label": "pkg",
    "power1_max": "190000000",
    "power1_label": "card",
    "power2_max": "150000000",
    "power2_label": "pkg",
    "energy1_input": "64123456789",
    "energy1_label": "card",
    "energy2_input": "41234567890",
    "energy2_label": "pkg",
    "temp2_input": "47000",
    "temp2_label": "pkg",
    "temp3_input": "54000",
    "temp3_label": "vram",
    "fan1_input": "990",
    "fan2_input": "1010",
}

_I915_CLOCKS = {"act": 1200, "cur": 1300, "max": 2400, "min": 300, "boost": 2400, "RP0": 2400, "RP1": 600, "RPn": 300}
_XE_CLOCKS = {
    "act_freq": 1450,
    "cur_freq": 1500,
    "rpn_freq": 400,
    "rpa_freq": 2000,
    "rpe_freq": 1200,
    "rp0_freq": 2850,
    "min_freq": 400,
    "max_freq": 2850,
}
_THROTTLE_REASONS = ("pl1", "pl2", "pl4", "thermal", "prochot", "ratl", "vr_thermalert", "vr_tdc")


def i915(gts: int, engines: Mapping[str, int]) -> dict[str, str]:
    """Return the i915 files below /sys/class/drm/card<N>, for a chip with so many GTs (the second is media)."""
    files = {f"engine/{name}/name": name for name in hardware_clients.i915_engines(engines)}
    files |= {f"gt_{name}_freq_mhz": str(clock) for name, clock in _I915_CLOCKS.items()}
    for number in range(gts):
        here = f"gt/gt{number}"
        files |= {f"{here}/rps_{name}_freq_mhz": str(clock) for name, clock in _I915_CLOCKS.items()}
        files |= {f"{here}/throttle_reason_{reason}": "0" for reason in ("status", *_THROTTLE_REASONS)}
        files |= {
            f"{here}/id": str(number),
            f"{here}/punit_req_freq_mhz": "1300",
            f"{here}/rc6_enable": "1",
            f"{here}/rc6_residency_ms": str(8_412_337 + number),
        }
    return files


def xe(gts: int, engines: Mapping[str, int], *, early: bool) -> dict[str, str]:
    """Return the xe files below /sys/class/drm/card<N>/device, for a chip with so many GTs (the second is media).

    The list of throttle reasons at one moment is younger than Linux 6.12.
    """
    files = {"tile0/memory/freq0/max_freq": "2375", "tile0/memory/freq0/min_freq": "2375"}
    for number in range(gts):
        here = f"tile0/gt{number}"
        files |= {f"{here}/freq0/{name}": str(clock) for name, clock in _XE_CLOCKS.items()}
        files |= {f"{here}/freq0/throttle/reason_{reason}": "0" for reason in _THROTTLE_REASONS}
        files |= {
            f"{here}/freq0/throttle/status": "0",
            **({} if early else {f"{here}/freq0/throttle/reasons": "none"}),
            f"{here}/gtidle/name": f"gt{number}-{'mc' if number else 'rc'}",
            f"{here}/gtidle/idle_status": "gt-c6",
            f"{here}/gtidle/idle_residency_ms": str(7_204_118 + number),
        }
        names = [name for name, gt in hardware_clients.xe_engines(engines).items() if gt == number]
        files |= {f"{here}/engines/{name}/job_timeout_ms": "5000" for name in names}
    return files
