{
  description = "The IPEX flake: Ollama and ComfyUI for Intel GPUs, and the drivers they need";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      # The engines are for Intel GPUs, and PyTorch's XPU wheels are built for x86_64 only.
      system = "x86_64-linux";

      pkgs = import nixpkgs {
        inherit system;
        # The XPU wheels bring Intel's runtime libraries: redistributable, but not free.
        # Who pins them accepts their licence; nothing else unfree gets in.
        config.allowUnfreePredicate = package: (package.pname or "") == "torch-xpu";
      };

      wheels = builtins.fromJSON (builtins.readFile ./nix/torch-xpu-wheels.json);
      pin-torch-xpu = pkgs.callPackage ./nix/pin-torch-xpu.nix { };
      security-scan = pkgs.callPackage ./nix/security-scan.nix { };
      packages = {
        ollama-ipex = pkgs.callPackage ./nix/ollama-ipex.nix { };
        comfyui-ipex = pkgs.callPackage ./nix/comfyui-ipex.nix { inherit wheels; };
        gpu-drivers = pkgs.callPackage ./nix/gpu-drivers.nix { };
        # Upstream's own, unchanged: for monitors that install it from here.
        inherit (pkgs) grafana;
      };
    in
    {
      packages.${system} = packages // {
        # Not part of the contract: ComfyUI on the processor, for who asks for it by this name.
        comfyui-cpu = pkgs.comfyui;
      };

      apps.${system} = {
        pin-torch-xpu = {
          type = "app";
          program = "${pin-torch-xpu}/bin/pin-torch-xpu";
          meta.description = "Pin the PyTorch XPU wheels into nix/torch-xpu-wheels.json";
        };
        security-scan = {
          type = "app";
          program = "${security-scan}/bin/security-scan";
          meta.description = "Look for what makes the fleet unsafe, in a checkout";
        };
      };

      # import, not callPackage: that adds `override` to the set, which is no check.
      checks.${system} = import ./nix/checks.nix {
        inherit
          packages
          pin-torch-xpu
          security-scan
          wheels
          ;
        inherit (pkgs) runCommand;
      };

      formatter.${system} = pkgs.nixfmt-tree;

      devShells.${system}.default = pkgs.mkShell {
        packages = [
          pkgs.gnumake
          pkgs.nix
          pkgs.nixfmt-tree
          pkgs.openssh
          pkgs.python3
        ];
      };
    };
}
