"""What GPUs do, as `ipex-node gpu` measures it. What a machine has no sensor for is absent, never 0."""

from fleet.metrics.metric import Metric

ROWS = (
    # ipex-gpu: sysfs, without any privilege.
    Metric(
        "ipex_gpu_info",
        "gauge",
        "An Intel GPU with a kernel driver.",
        "sysfs: class/drm/card*/device/uevent",
        ("gpu", "pci_id", "pci_slot", "driver"),
    ),
    Metric(
        "ipex_gpu_energy_joules_total",
        "counter",
        "Energy used since the driver was loaded; its rate is power in watts.",
        "sysfs: hwmon energy*_input, microjoules",
        ("gpu", "sensor"),
    ),
    # Kept for a glance at the page: a counter's rate forgets nothing between two scrapes, this does.
    Metric(
        "ipex_gpu_power_watts",
        "gauge",
        "Mean power between the last two looks.",
        "ipex_gpu_energy_joules_total, by the sampler: no driver shows power itself",
        ("gpu", "sensor"),
    ),
    Metric(
        "ipex_gpu_power_limit_watts",
        "gauge",
        "Sustained power the firmware allows; absent where there is no limit.",
        "sysfs: hwmon power*_max, microwatts",
        ("gpu", "sensor"),
    ),
    Metric(
        "ipex_gpu_temperature_celsius",
        "gauge",
        "Temperature of a part of the GPU.",
        "sysfs: hwmon temp*_input, thousandths of a degree",
        ("gpu", "sensor"),
    ),
    # Revolutions per minute, as everybody reads a fan and as node_exporter has it; hertz would be the base unit.
    Metric(
        "ipex_gpu_fan_rpm",
        "gauge",
        "Speed of a fan, in revolutions per minute.",
        "sysfs: hwmon fan*_input",
        ("gpu", "sensor"),
    ),
    Metric(
        "ipex_gpu_frequency_hertz",
        "gauge",
        "Actual frequency of a GT; 0 while it sleeps.",
        "sysfs: i915 gt/gt*/rps_act_freq_mhz, xe tile*/gt*/freq0/act_freq",
        ("gpu", "gt"),
    ),
    # Awake and not busy: a GT that waits between two kernels is awake. A counter, so that no reader needs state.
    Metric(
        "ipex_gpu_idle_seconds_total",
        "counter",
        "Time a GT has slept; 1 minus its rate is the share of time it was awake.",
        "sysfs: i915 gt/gt*/rc6_residency_ms, xe tile*/gt*/gtidle/idle_residency_ms",
        ("gpu", "gt"),
    ),
    Metric(
        "ipex_gpu_throttled",
        "gauge",
        "1 while the GT runs slower for this reason.",
        "sysfs: i915 gt/gt*/throttle_reason_*, xe tile*/gt*/freq0/throttle",
        ("gpu", "gt", "reason"),
    ),
    # ipex-gpu: the users of the GPUs, with CAP_SYS_PTRACE.
    Metric(
        "ipex_gpu_engine_busy_seconds_total",
        "counter",
        "Time a class of engines has worked, all its engines together counting as one; its rate is utilization.",
        "procfs: fdinfo drm-engine-* (i915), drm-cycles-* and drm-total-cycles-* (xe)",
        ("gpu", "engine"),
    ),
    # As ipex_gpu_power_watts.
    Metric(
        "ipex_gpu_utilization_ratio",
        "gauge",
        "Share of the time between the last two looks in which a class of engines worked.",
        "ipex_gpu_engine_busy_seconds_total, by the sampler",
        ("gpu", "engine"),
    ),
    # vram0 is a card's own memory with either driver; the others are the machine's memory, in the driver's words.
    Metric(
        "ipex_gpu_memory_used_bytes",
        "gauge",
        "Memory in use for a GPU, by region; vram0 is the card's own.",
        "xe from Linux 6.18: DRM_XE_DEVICE_QUERY_MEM_REGIONS; else procfs: fdinfo drm-resident-*, shared counted once",
        ("gpu", "region"),
    ),
    Metric(
        "ipex_gpu_memory_total_bytes",
        "gauge",
        "A card's own memory; absent where a GPU has none.",
        "DRM_I915_QUERY_MEMORY_REGIONS, DRM_XE_DEVICE_QUERY_MEM_REGIONS",
        ("gpu", "region"),
    ),
)
