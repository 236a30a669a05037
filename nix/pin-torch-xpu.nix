# The operator's command that fills nix/torch-xpu-wheels.json. pip must be of the Python that
# ComfyUI will run on: it resolves for the interpreter it runs in.
{
  python3,
  writeShellApplication,
}:
writeShellApplication {
  name = "pin-torch-xpu";
  runtimeInputs = [ (python3.withPackages (packages: [ packages.pip ])) ];
  text = ''
    exec python3 ${./pin_torch_xpu.py} --from-nixpkgs ${./torch-xpu-dependencies.json} "$@"
  '';
}
