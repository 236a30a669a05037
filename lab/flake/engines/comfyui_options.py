"""ComfyUI's command line (cli_args.py of Comfy-Org/ComfyUI at 03294572): most flags change nothing here."""

import argparse
from pathlib import Path

_SWITCHES = """
    cpu lowvram novram highvram gpu-only cache-classic cache-none disable-smart-memory
    bf16-unet fp16-unet fp8_e4m3fn-unet fp8_e5m2-unet fp32-unet fp16-vae bf16-vae fp32-vae fp8_e4m3fn-text-enc
    force-fp16 force-fp32 use-pytorch-cross-attention use-split-cross-attention use-quad-cross-attention
    quick-test-for-ci disable-all-custom-nodes disable-partner-nodes offline disable-api-nodes multi-user
    enable-manager disable-metadata disable-assets date-based-output log-stdout disable-auto-launch
"""
_VALUES = """
    tls-keyfile tls-certfile extra-model-paths-config temp-directory input-directory output-directory
    user-directory models-directory database-url oneapi-device-selector default-device reserve-vram
    vram-headroom cache-ram cache-lru preview-method front-end-root feature-flag
"""


def options(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed command line; an unknown flag ends the program with status 2, as the real one."""
    parser = argparse.ArgumentParser(prog="comfyui", allow_abbrev=False)
    # Without a value: every address, as the real one.
    parser.add_argument("--listen", nargs="?", const="0.0.0.0,::", default="127.0.0.1", metavar="IP")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--max-upload-size", type=float, default=100, metavar="MB")
    parser.add_argument("--base-directory", type=Path, default=Path.cwd())
    parser.add_argument("--enable-cors-header", nargs="?", const="*", default=None, metavar="ORIGIN")
    parser.add_argument("--whitelist-custom-nodes", nargs="+", default=[])
    parser.add_argument("--verbose", nargs="*", default=[])
    for name in _SWITCHES.split():
        parser.add_argument(f"--{name}", action="store_true")
    for name in _VALUES.split():
        parser.add_argument(f"--{name}")
    return parser.parse_args(arguments)
