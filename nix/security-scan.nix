# `nix run .#security-scan`, in a checkout: what `make security` does, with the programs it starts from.
{
  git,
  gnumake,
  python3,
  writeShellApplication,
}:
writeShellApplication {
  name = "security-scan";
  runtimeInputs = [
    git
    gnumake
    python3
  ];
  text = ''
    if [ ! -f tools/security/exceptions.toml ]; then
      echo "security-scan: run it in a checkout of the fleet's repository" >&2
      exit 2
    fi
    exec make security "$@"
  '';
}
