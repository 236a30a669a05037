# Ollama with its Vulkan backend: the only backend Ollama has for Intel GPUs.
{
  makeBinaryWrapper,
  ollama-vulkan,
  symlinkJoin,
  vulkan-loader,
}:
symlinkJoin {
  name = "ollama-ipex-${ollama-vulkan.version}";
  paths = [ ollama-vulkan ];
  nativeBuildInputs = [ makeBinaryWrapper ];
  # VK_DRIVER_FILES: Intel's driver or none. Otherwise the loader also finds Mesa's software
  # driver and the node's own manifests, and a broken driver looks like a slow GPU.
  # LD_LIBRARY_PATH: nixpkgs wraps its CUDA and ROCm builds so that the llama-server child finds
  # its libraries, and leaves the Vulkan build bare. The loader is Nix's own, never the node's.
  # No file capability for CAP_PERFMON: it would make the loader ignore these variables; the unit
  # grants it as an ambient capability.
  postBuild = ''
    wrapProgram $out/bin/ollama \
      --set-default VK_DRIVER_FILES /run/opengl-driver/share/vulkan/icd.d/intel_icd.x86_64.json \
      --suffix LD_LIBRARY_PATH : ${vulkan-loader}/lib
  '';
  meta.mainProgram = "ollama";
}
