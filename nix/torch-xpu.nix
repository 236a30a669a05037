# PyTorch, torchvision and torchaudio with XPU support, from the wheels PyTorch publishes.
# nixpkgs has no XPU build. The wheels expect Intel's runtime wheels beside them in one prefix
# (their libraries look for each other there), so all of them are installed into one package.
{
  autoPatchelfHook,
  fetchurl,
  lib,
  level-zero,
  numactl,
  ocl-icd,
  stdenv,
  zlib,
  pythonPackages,
  wheels,
}:
let
  dependencies = builtins.fromJSON (builtins.readFile ./torch-xpu-dependencies.json);
  torch = builtins.head (builtins.filter (wheel: wheel.name == "torch") wheels.wheels);

  # A wheel is installed under its own file name, which says what it is: a URL writes "+" as
  # "%2B", and a store path has a hash before it.
  install =
    wheel:
    let
      download = fetchurl {
        name = wheel.file;
        inherit (wheel) url hash;
      };
    in
    ''
      ln -s ${download} ${wheel.file}
      python -m installer --prefix $out ${wheel.file}
    '';
in
pythonPackages.buildPythonPackage {
  pname = "torch-xpu";
  inherit (torch) version;
  pyproject = false;

  dontUnpack = true;
  dontStrip = true; # stripping breaks the alignment of the wheels' libraries

  nativeBuildInputs = [
    autoPatchelfHook
    pythonPackages.installer
  ];
  buildInputs = [
    level-zero
    numactl
    ocl-icd
    stdenv.cc.cc.lib
    zlib
  ];
  dependencies = map (name: pythonPackages.${name}) dependencies;

  # Opened only for MPI over a fabric (a node works alone) and for torchaudio's old file backends.
  autoPatchelfIgnoreMissingDeps = [
    "libav*.so.*"
    "libefa.so.*"
    "libfabric.so.*"
    "libibverbs.so.*"
    "libpsm2.so.*"
    "librdmacm.so.*"
    "libsox.so"
    "libucp.so.*"
    "libucs.so.*"
    "libuct.so.*"
  ];

  installPhase = ''
    runHook preInstall
    ${lib.concatMapStrings install wheels.wheels}
    runHook postInstall
  '';

  pythonImportsCheck = [
    "torch"
    "torchaudio"
    "torchvision"
  ];

  # What dependents in nixpkgs ask of "torch" to choose their own build.
  passthru = {
    cudaPackages = { };
    cudaSupport = false;
    rocmSupport = false;
  };

  meta = {
    description = "PyTorch with XPU support, from the published wheels";
    license = [
      lib.licenses.bsd3
      lib.licenses.unfreeRedistributable
    ];
    platforms = [ "x86_64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
