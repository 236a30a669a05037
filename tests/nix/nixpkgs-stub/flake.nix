{
  description = "NOT nixpkgs: a stand-in for `nix flake check --override-input nixpkgs` without a network";

  outputs = _: { };
}
