{
  description = "The lab's engines: two small servers that speak the APIs of Ollama and ComfyUI";

  # No inputs: a lab node has no route out, and needs none to evaluate or build this.
  outputs =
    { self }:
    let
      revision = builtins.replaceStrings [ "\n" ] [ "" ] (builtins.readFile ./version);

      # Debian's Nix gives a sandboxed builder bash and nothing else: no mkdir, no chmod. Nix's own
      # environment builder needs neither. It links what stands in `${directory}` into $out.
      environment =
        system: name: directory:
        derivation {
          inherit system name;
          builder = "builtin:buildenv";
          derivations = "true 5 1 ${directory}";
          manifest = builtins.toFile "${name}-manifest" "[ ]";
          preferLocalBuild = true;
        };

      # The engine's program finds engines/ and version beside its own resolved path.
      engines = builtins.path {
        name = "engines-${revision}";
        path = ./.;
        filter =
          path: _type:
          builtins.match ".*/(__pycache__|gpu-drivers|flake\\.nix)" path == null;
      };
      drivers = builtins.path {
        name = "drivers";
        path = ./gpu-drivers;
      };

      packagesFor = system: {
        ollama-ipex = environment system "ollama-ipex-${revision}" "${engines}/ollama-ipex";
        comfyui-ipex = environment system "comfyui-ipex-${revision}" "${engines}/comfyui-ipex";
        gpu-drivers = environment system "gpu-drivers" "${drivers}";
      };
    in
    {
      packages = {
        x86_64-linux = packagesFor "x86_64-linux";
        aarch64-linux = packagesFor "aarch64-linux";
      };
    };
}
