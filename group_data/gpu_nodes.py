"""GPU nodes: the services they run. A third service is one more entry here and one more package in the flake."""

services = {
    "ollama": {
        # The flake's output, and the systemd unit of the same name.
        "package": "ollama-ipex",
        "command": "bin/ollama serve",
        "description": "Ollama on Intel GPUs",
        "port": 11434,
        # Answers 200 when the API is up; cheap enough to be asked every second.
        "health_path": "/api/tags",
        # How the service is proved to do its work: ollama, comfyui or http.
        "engine": "ollama",
        # The model a probe generates with.
        "model": "tinyllama",
        # What this node is asked for: the gateway sends a request for a model to nodes that declare it, first to those
        # that have it loaded. A node that has others says so in its inventory (node_overrides).
        "models": ["tinyllama"],
        # GPU classes (ipex_node/fitness/gpus.toml) it may run on, and those of them on which it is slow and says so. A
        # GPU that the table does not know is let through with a warning.
        "gpu_classes": ["arc", "xe-lp"],
        "gpu_classes_warned": ["xe-lp"],
        # Free space it wants in /var/lib for models and outputs, and in /nix for a new closure (GB; estimates, less
        # is let through with a warning).
        "disk_gb": 20,
        "closure_gb": 4,
        "memory_max": "8G",
        "cpu_quota": "400%",
        # systemd expands %S to /var/lib and %C to /var/cache; a percent sign of its own is written %%.
        "environment": {
            "OLLAMA_HOST": "0.0.0.0:11434",
            "OLLAMA_MODELS": "%S/ollama/models",
            "OLLAMA_MAX_QUEUE": "512",
            "VK_DRIVER_FILES": "/run/opengl-driver/share/vulkan/icd.d/intel_icd.x86_64.json",
        },
        # Programs of the service may be executed from here and nowhere else.
        "exec_paths": ["/nix/store"],
        # True for engines that compile code at run time (MemoryDenyWriteExecute= stays off).
        "jit": False,
        # Ollama's runners listen on ephemeral ports of the loopback interface.
        "ephemeral_ports": True,
        # Networks it may reach beside gateways and monitors: models are downloaded by the engine itself.
        "egress": ["any"],
        # Names in its state directory that a new version may change: kept during a change of its closure, and given
        # back when that fails. Models are blobs named by their content: no version changes them.
        "snapshot": [],
        # Paths in its state directory that nobody could download again: they go into the backup repository. Of Ollama's
        # models go those named in "created", those that Ollama has made here of others, and those nobody declares.
        "backup": [],
        "created": [],
        # How long a node waits for what is in flight before it restarts the engine.
        "drain_seconds": 900,
        # How long it has to prove that it works: cold start, model load, one generation.
        "probe_seconds": 180,
        # So many nodes must serve it at all times: a number, or a share of its nodes.
        "floor": "50%",
        "route": {
            "path": "/ollama/",
            # least_conn: every request to the node with the fewest; session: one client stays on one node.
            "balance": "least_conn",
            # A request that has had no answer yet may be tried on a second node.
            "replayable": True,
            # The longest silence: a cold model load and its prefill.
            "read_timeout": "900s",
            "body_max": "32m",
            # So many requests a node that has the model loaded is given before one that would have to load it.
            "spill_at": 4,
        },
    },
    "comfyui": {
        "package": "comfyui-ipex",
        "command": (
            "bin/comfyui --listen 0.0.0.0 --port 8188 --base-directory %S/comfyui "
            "--database-url sqlite:///%S/comfyui/comfyui.db --max-upload-size 101 --disable-api-nodes"
        ),
        "description": "ComfyUI on Intel GPUs",
        "port": 8188,
        "health_path": "/system_stats",
        "engine": "comfyui",
        # PyTorch's list of XPU devices has no Xe-LP.
        "gpu_classes": ["arc"],
        "gpu_classes_warned": [],
        "disk_gb": 40,
        # PyTorch and Intel's runtime wheels.
        "closure_gb": 16,
        "memory_max": "16G",
        "cpu_quota": "800%",
        "environment": {
            "LD_LIBRARY_PATH": "/run/opengl-driver/lib",
            "ONEAPI_DEVICE_SELECTOR": "level_zero:*",
        },
        "exec_paths": ["/nix/store"],
        "jit": True,
        "ephemeral_ports": False,
        "egress": ["any"],
        # A new version may migrate the database's schema (ComfyUI's app/database, by alembic); user holds settings and
        # workflows.
        "snapshot": ["comfyui.db", "user"],
        # Workflows and settings, what users have uploaded, what people have trained or installed.
        "backup": ["comfyui.db", "user", "input", "custom_nodes", "models/loras"],
        "drain_seconds": 300,
        "probe_seconds": 180,
        "floor": "50%",
        "route": {
            "path": "/comfyui/",
            # Queue, history, websocket and files of a session live on one node.
            "balance": "session",
            # A prompt sent twice is a job done twice.
            "replayable": False,
            "read_timeout": "300s",
            # 100 MiB of file plus its multipart wrapping.
            "body_max": "101m",
        },
    },
}

# Where Nix fetches what is built already, in nix.conf's own terms: substituters, trusted_public_keys. What is left
# out keeps Nix's default.
nix = {}

# The flake's user-space drivers, linked as /run/opengl-driver, where Nix-built programs look for them.
drivers = "gpu-drivers"

# Intel GPUs of a node; one that has more says so in its inventory.
gpus = 1

# What may go from the disk. Nothing that the node's generations need does, and no model but by hand.
cleanup = {
    # When, in systemd's words (systemd.time(7)), and how far the nodes are spread behind it. A disk that is short
    # of space is cleaned up at once.
    "calendar": "Sun 03:00",
    "spread": "2h",
    # Pictures that ComfyUI has made, after the last write.
    "outputs_days": 30,
    # Staged generations that are neither current, previous nor pinned: a rollout may be about to activate them.
    "staged_days": 2,
    # Between two runs that nobody asked for by hand.
    "rest_seconds": 3600,
}

# How models run better: what engines keep, in which precision, with how much memory, and which settings are tried.
# What each option becomes for each engine stands in docs/operate/optimizer.md.
optimizer = {
    "enable": True,
    # Code that drivers and engines compile for the GPU is kept on disk here, and workflows may compile models.
    # It is cleared when the engine or its driver changes.
    "auto_compile": True,
    "compilation_cache": "/var/cache/ipex-models",
    # What the caches of one engine may take, and after how long without use a file goes.
    "cache_gb": 4,
    "cache_days": 30,
    "quantization": {
        "enable": True,
        # Service to int4, int8, fp8, bf16 or fp16; not every engine can do each (fleet/precision.py says why).
        "precision": {"ollama": "int8"},
        # No engine takes one.
        "calibration_dataset": None,
        # Models that nodes make themselves, from an unquantised one: {"llama3.2:3b-int8": "llama3.2:3b-instruct-fp16"}
        "models": {},
    },
    "memory": {
        # GPUs that share the machine's memory are used, and a full GPU may take some of it.
        "unified_memory": True,
        # What an engine may keep in the machine's memory: {"comfyui": "12G"}; swap_threshold of memory_max without it.
        "memory_pool": {},
        # From this share of a service's memory_max on the kernel reclaims, and swaps where the node has swap.
        "swap_threshold": 0.8,
        # Memory of the GPU that a service leaves to the other: {"ollama": "2G"}
        "gpu_reserve": {},
    },
    "schedule": {
        "model_update": "weekly",
        "cache_cleanup": "daily",
        # One node after the other, each in a slot of its own.
        "performance_tuning": "monthly",
        "spread": "4h",
    },
    "tuning": {
        # Ollama's variables and what is tried for them, in all combinations.
        "grid": {"OLLAMA_NUM_PARALLEL": ["1", "2", "4"], "OLLAMA_KV_CACHE_TYPE": ["f16", "q8_0"]},
        # Requests at a time, measurements of a setting, tokens of a request.
        "clients": 4,
        "rounds": 3,
        "tokens": 64,
        # A setting that is faster by this share is proposed; a release that is slower by that is not promoted.
        "gain": 0.1,
        "loss": 0.1,
        # Proposals are printed; True lets tasks/tune.py take them over (inventory/ENV.tuned.json, and a deploy).
        "apply": False,
    },
}

# How data are kept (docs/operate/backups.md). None instead of this: nobody keeps them.
backup = {
    # When, in systemd's words (systemd.time(7)): a backup, a part of the verification, a restore that is tried; and how
    # far the nodes are spread behind each.
    "calendar": "02:00",
    "verify_calendar": "04:30",
    "restore_test_calendar": "*-*-01 06:00",
    "spread": "1h",
    # The newest of so many days, weeks and months; the last one that was verified always stays.
    "keep": {"daily": 7, "weekly": 4, "monthly": 6},
    # Within so many nights each kept byte is read again and compared.
    "verify_days": 7,
    # Longest wait for a change of the node that goes on.
    "wait_seconds": 900,
    # Share of the disk that a backup leaves free.
    "free_share": 0.1,
    # Where the throw-away engine of a restore test listens, on loopback, and how long it has for a token without a GPU.
    "test_port": 11435,
    "test_seconds": 600,
}

# Where what cannot be downloaded again goes, encrypted, each node into a repository of its own below it. None: nowhere,
# and it is lost with the node. PUT YOUR OWN HERE, one of:
#   {"kind": "sftp", "host": "backup.example.com", "user": "ipex-backup", "path": "/srv/ipex"}
#   {"kind": "rest", "url": "https://backup.example.com/ipex"}
#   {"kind": "s3", "url": "https://s3.example.com/ipex"}
#   {"kind": "local", "path": "/mnt/backup"}
backup_repository = None

# How models come to the nodes (tasks/models.py): once into the fleet, then from node to node. Which digest each one
# has stands in inventory/ENVIRONMENT.models.lock: what staging has tried comes to prod by a commit.
models = {
    # Where each GPU node serves its models to the others, and to nobody else.
    "port": 9096,
    # Most bytes a second that one node fetches, as curl spells it; "" for no limit. Users' answers share the network.
    "rate": "100M",
    # So much of a disk stays free (GB).
    "keep_free_gb": 20,
    # Where models come from whose names say no host: Ollama's registry, or a copy of it nearby.
    "registry": "https://registry.ollama.ai",
}
