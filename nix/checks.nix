# `nix flake check`. The scripts use the shell's own commands only, so that they also run, and
# mean the same, where the sandbox has a shell and nothing else.
{
  packages,
  pin-torch-xpu,
  runCommand,
  security-scan,
  wheels,
}:
let
  inherit (packages)
    comfyui-ipex
    gpu-drivers
    grafana
    ollama-ipex
    ;

  holds = package: paths: ''
    for path in ${toString paths}; do
      if [ ! -e "${package}/$path" ]; then
        echo "${package.name} has no $path: the fleet's contract (nix/README.md) asks for it" >&2
        exit 1
      fi
    done
  '';

  contract = {
    contract-ollama-ipex = runCommand "contract-ollama-ipex" { } ''
      ${holds ollama-ipex [ "bin/ollama" ]}
      : > $out
    '';

    contract-gpu-drivers = runCommand "contract-gpu-drivers" { } ''
      ${holds gpu-drivers [
        "etc/OpenCL/vendors/intel-neo.icd"
        "lib/dri/iHD_drv_video.so"
        "lib/libvulkan_intel.so"
        "lib/libze_intel_gpu.so.1"
        "share/vulkan/icd.d/intel_icd.x86_64.json"
      ]}
      : > $out
    '';

    contract-grafana = runCommand "contract-grafana" { } ''
      ${holds grafana [
        "bin/grafana"
        "share/grafana/conf/defaults.ini"
        "share/grafana/public"
      ]}
      : > $out
    '';

    # Their builds have the scripts read by shellcheck.
    inherit pin-torch-xpu security-scan;
  };

  # A ComfyUI whose torch is nixpkgs' own would start, answer, and compute on the processor.
  contractComfyui = {
    contract-comfyui-ipex =
      runCommand "contract-comfyui-ipex"
        {
          exportReferencesGraph = [
            "closure"
            comfyui-ipex
          ];
        }
        ''
          ${holds comfyui-ipex [ "bin/comfyui" ]}
          while read -r path; do
            case "$path" in
              *-torch-xpu-*)
                : > $out
                exit 0
                ;;
            esac
          done < closure
          echo "comfyui-ipex does not use the torch-xpu of nix/torch-xpu-wheels.json" >&2
          exit 1
        '';
  };
in
contract // (if wheels.wheels == [ ] then { } else contractComfyui)
