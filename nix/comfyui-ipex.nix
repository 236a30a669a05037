# ComfyUI from nixpkgs on PyTorch's own XPU support.
{
  comfyui,
  level-zero,
  lib,
  makeBinaryWrapper,
  python3,
  runCommand,
  symlinkJoin,
  wheels,
}:
let
  problem =
    if wheels.wheels == [ ] then
      "nix/torch-xpu-wheels.json is empty: the PyTorch XPU wheels are not pinned yet"
    else if wheels.python != python3.pythonVersion then
      "nix/torch-xpu-wheels.json pins wheels for Python ${wheels.python}, this nixpkgs has Python ${python3.pythonVersion}"
    else
      null;

  # It fails when it is built, not when it is evaluated: `nix flake check` and the other packages
  # stay usable before the wheels are pinned. It never turns into a ComfyUI on the processor.
  notPinned = runCommand "comfyui-ipex-not-pinned" { } ''
    printf '%s\n' >&2 \
      "comfyui-ipex cannot be built: ${problem}." \
      "In a checkout of this flake run" \
      "  nix run .#pin-torch-xpu -- --index-url <PyTorch's wheel index for XPU>" \
      "commit the file it writes, and point the fleet's flake setting at that commit" \
      "(nix/README.md says how). ComfyUI on the processor is the package comfyui-cpu."
    exit 1
  '';

  xpuPackages =
    final: _:
    let
      torch-xpu = final.callPackage ./torch-xpu.nix {
        pythonPackages = final;
        inherit wheels;
      };
    in
    {
      inherit torch-xpu;
      torch = torch-xpu;
      torchaudio = torch-xpu;
      torchvision = torch-xpu;
      triton = torch-xpu;
    };

  # nixpkgs' comfyui overrides python3's packages itself, and a second override would replace
  # ours: so ours is put after its own, whatever that is.
  pythonWithXpu = python3 // {
    override =
      arguments:
      let
        own = arguments.packageOverrides or (_: _: { });
      in
      python3.override (arguments // { packageOverrides = lib.composeExtensions own xpuPackages; });
  };
  comfyuiWithXpu = comfyui.override { python3 = pythonWithXpu; };

  # LD_LIBRARY_PATH: the Level Zero loader takes a driver only from a directory of this variable
  # or of the node's system, and PyTorch opens the loader by its bare name.
  # ONEAPI_DEVICE_SELECTOR: OpenCL sees the same GPU again; PyTorch works on Level Zero.
  comfyuiWrapped = symlinkJoin {
    name = "comfyui-ipex-${comfyui.version}";
    paths = [ comfyuiWithXpu ];
    nativeBuildInputs = [ makeBinaryWrapper ];
    postBuild = ''
      wrapProgram $out/bin/comfyui \
        --prefix LD_LIBRARY_PATH : /run/opengl-driver/lib:${level-zero}/lib \
        --set-default ONEAPI_DEVICE_SELECTOR 'level_zero:*'
    '';
    meta.mainProgram = "comfyui";
  };
in
if problem == null then comfyuiWrapped else notPinned
