# What /run/opengl-driver must hold for Nix's programs to reach an Intel GPU. Only the kernel
# driver and the firmware come from the node; a node's own libraries never enter a Nix program.
{
  buildEnv,
  intel-compute-runtime,
  intel-media-driver,
  mesa,
}:
buildEnv {
  name = "gpu-drivers";
  paths = [
    mesa # Vulkan (ANV), for Ollama
    intel-compute-runtime # OpenCL
    intel-compute-runtime.drivers # Level Zero, for PyTorch
    intel-media-driver # VA-API, for ComfyUI's video nodes
  ];
}
