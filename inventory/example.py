"""The example fleet of the tests and the docs: pyinfra's @fake nodes, which need no machine."""

# What every fake node answers when it is asked what it is.
_MACHINE = ["distribution debian:13", "memory 32768000"]
_FAKE = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {"ipex-question": _MACHINE}}
_GPU = ["gpu 0000:03:00.0 56a0 i915 renderD128", "render 660 root render /dev/dri/renderD128"]
_ARC = {**_FAKE, "fake_responses": {"ipex-question": [*_MACHINE, *_GPU]}}
# Two nodes have a bigger model as well.
_BIG = {"node_overrides": {"ollama": {"models": ["tinyllama", "gemma3:27b"]}}}

gpu_nodes = [
    ("@fake/gpu-01", {"address": "203.0.113.11", **_ARC}),
    ("@fake/gpu-02", {"address": "203.0.113.12", **_ARC, **_BIG}),
    ("@fake/gpu-03", {"address": "203.0.113.13", **_ARC, **_BIG}),
]

gateways = [
    ("@fake/gateway-01", {"address": "203.0.113.21", **_FAKE}),
    ("@fake/gateway-02", {"address": "203.0.113.22", **_FAKE}),
]

monitors = [
    ("@fake/monitor-01", {"address": "203.0.113.31", **_FAKE}),
]
