# NOT nixpkgs. It has the names and the shapes that flake.nix and nix/ use, and nothing else, so
# that they can be evaluated and their checks run by real Nix with neither a network nor a compiler.
# Packages are the directories under trees/ (the sandbox has no mkdir). What only runs with a
# compiler and coreutils (wrapProgram, installPhase) is parsed by the shell and not run.
{
  system,
  config ? { },
}:
let
  genAttrs = names: value: builtins.listToAttrs (map (name: { inherit name; value = value name; }) names);

  makeOverridable =
    make: arguments:
    make arguments // { override = changed: makeOverridable make (arguments // changed); };

  # A file that names `references`, so that they are built, and belong to the closure. Its builder
  # parses `script`, and does not run it.
  note =
    { script ? "", references ? [ ] }:
    derivation {
      name = "note";
      inherit references script system;
      builder = "/bin/sh";
      args = [ "-ec" ''/bin/sh -nc "$script"; printf '%s\n' "$references" > $out'' ];
    };

  # A package: the merged contents of `directories`, linked by Nix's own builder for profiles.
  tree =
    name: directories: noted:
    derivation {
      inherit name;
      system = "builtin";
      builder = "builtin:buildenv";
      derivations = map (directory: [ "true" 5 1 directory ]) directories;
      manifest = note noted;
    };

  standIn = name: tree "${name}-stub" [ ] { } // { version = "stub"; };

  pythonPackages =
    final:
    genAttrs [
      "filelock"
      "fsspec"
      "installer"
      "jinja2"
      "markupsafe"
      "mpmath"
      "networkx"
      "numpy"
      "packaging"
      "pillow"
      "pip"
      "setuptools"
      "sympy"
      "torchaudio"
      "torchvision"
      "typing-extensions"
    ] standIn
    // {
      callPackage = callPackageWith (pkgs // final);
      torch = makeOverridable ({ cudaPackages }: standIn "torch-for-${cudaPackages}") { cudaPackages = "cuda12"; };
      buildPythonPackage =
        { pname, version, ... }@arguments:
        tree "${pname}-${version}" [ ] {
          script = arguments.installPhase;
          references = arguments.nativeBuildInputs ++ arguments.buildInputs ++ arguments.dependencies;
        };
    };

  python = makeOverridable (
    { packageOverrides, ... }:
    let
      before = pythonPackages final;
      final = before // packageOverrides final before;
    in
    standIn "python3"
    // {
      pythonVersion = "3.13";
      pkgs = final;
      withPackages = choose: tree "python3-env" [ ] { references = choose final; };
    }
  ) { packageOverrides = _: _: { }; };

  # As in nixpkgs, comfyui overrides packages of the Python it is given.
  comfyui = makeOverridable (
    { python3 }:
    let
      ownPython = python3.override {
        self = ownPython;
        packageOverrides = _: previous: { torch = previous.torch.override { cudaPackages = "cuda13"; }; };
      };
      environment = ownPython.withPackages (packages: [
        packages.torch
        packages.torchaudio
        packages.torchvision
      ]);
    in
    tree "comfyui-stub" [ ./trees/comfyui ] { references = [ environment ]; } // { version = "stub"; }
  ) { python3 = python; };

  callPackageWith =
    scope: file: arguments:
    let
      make = import file;
    in
    makeOverridable make (builtins.intersectAttrs (builtins.functionArgs make) scope // arguments);

  pkgs =
    genAttrs [
      "autoPatchelfHook"
      "git"
      "gnumake"
      "level-zero"
      "makeBinaryWrapper"
      "nix"
      "nixfmt-tree"
      "numactl"
      "ocl-icd"
      "openssh"
      "vulkan-loader"
      "zlib"
    ] standIn
    // genAttrs [
      "grafana"
      "intel-media-driver"
      "mesa"
      "ollama-vulkan"
    ] (name: tree "${name}-stub" [ (./trees + "/${name}") ] { } // { version = "stub"; })
    // {
      inherit comfyui;
      python3 = python;
      stdenv.cc.cc.lib = standIn "gcc-lib";
      intel-compute-runtime = tree "intel-compute-runtime-stub" [ ./trees/intel-compute-runtime ] { } // {
        drivers = tree "intel-compute-runtime-stub-drivers" [ ./trees/intel-compute-runtime-drivers ] { };
      };

      lib = {
        composeExtensions =
          first: second: final: previous:
          let
            changed = first final previous;
          in
          changed // second final (previous // changed);
        concatMapStrings = each: list: builtins.concatStringsSep "" (map each list);
        licenses = genAttrs [ "bsd3" "unfreeRedistributable" ] (shortName: { inherit shortName; });
        sourceTypes.binaryNativeCode = { };
      };

      callPackage = callPackageWith pkgs;
      buildEnv = { name, paths }: tree name paths { };
      symlinkJoin =
        { name, paths, postBuild, nativeBuildInputs, meta }:
        tree name paths {
          script = postBuild;
          references = nativeBuildInputs;
        };
      mkShell = { packages }: tree "shell" [ ] { references = packages; };
      fetchurl =
        { name, url, hash }:
        assert builtins.match "sha256-[A-Za-z0-9+/]{43}=" hash != null;
        derivation {
          inherit name url system;
          builder = "/bin/sh";
          args = [ "-ec" ''printf '%s\n' "$url" > $out'' ];
        };
      runCommand =
        name: environment: script:
        derivation (
          environment
          // {
            inherit name system;
            builder = "/bin/sh";
            args = [ "-ec" script ];
          }
        );
      writeShellApplication =
        { name, runtimeInputs, text }:
        tree name [ ] {
          script = text;
          references = runtimeInputs;
        };
    };
in
# The one thing the stub can say about the policy for unfree packages: it names torch-xpu only.
assert config.allowUnfreePredicate { pname = "torch-xpu"; };
assert !config.allowUnfreePredicate { pname = "mkl"; };
pkgs
