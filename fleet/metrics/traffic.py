"""What the engines do for their users; docs/decisions/0008 says where the edges are."""

from fleet.metrics.metric import Metric

ROWS = (
    Metric(
        "ipex_inference_requests_total",
        "counter",
        "Users' requests that have ended; refused is the request's own fault, error the engine's.",
        "Ollama's access lines in the journal, ComfyUI's history",
        ("service", "operation", "outcome"),
    ),
    Metric(
        "ipex_inference_duration_seconds",
        "histogram",
        "How long users waited for whole answers, queue and model load included; requests that succeeded.",
        "Ollama's access lines in the journal, ComfyUI's history",
        ("service", "operation"),
    ),
    Metric(
        "ipex_inference_tokens_total",
        "counter",
        "Tokens that models have read (prompt, but for what was cached) and written, the node's own proofs included.",
        "llama-server's timings in Ollama's lines in the journal",
        ("service", "kind"),
    ),
    Metric(
        "ipex_inference_compute_seconds_total",
        "counter",
        "Time models have computed on tokens; tokens divided by it is their speed.",
        "llama-server's timings in Ollama's lines in the journal",
        ("service", "kind"),
    ),
    Metric(
        "ipex_queue_length",
        "gauge",
        "Pieces of work accepted and not finished.",
        "ComfyUI's GET /queue; elsewhere the kernel's table of connections from other machines",
        ("service",),
    ),
    Metric(
        "ipex_model_size_bytes",
        "gauge",
        "Memory of a loaded model, wherever it lies.",
        "Ollama's GET /api/ps: size",
        ("service", "model"),
    ),
    Metric(
        "ipex_model_gpu_bytes",
        "gauge",
        "Memory of a loaded model on the GPU; less than its size means that the processor computes, too.",
        "Ollama's GET /api/ps: size_vram",
        ("service", "model"),
    ),
    Metric(
        "ipex_model_present",
        "gauge",
        "1 where a declared model is there with the digest that the node was last given, 0 where it is not.",
        "Ollama's GET /api/tags, and /var/lib/ipex-models/locked.json",
        ("service", "model"),
    ),
    Metric(
        "ipex_model_wrong_digest",
        "gauge",
        "1 where a declared model is another one than the digest says that the node was last given.",
        "Ollama's GET /api/tags, and /var/lib/ipex-models/locked.json",
        ("service", "model"),
    ),
    Metric(
        "ipex_models_undeclared",
        "gauge",
        "Models that a node has and does not declare.",
        "Ollama's GET /api/tags",
        ("service",),
    ),
    Metric(
        "ipex_service_devices",
        "gauge",
        "Devices the service computes on, by kind: xpu is an Intel GPU.",
        "ComfyUI's GET /system_stats: devices",
        ("service", "kind"),
    ),
)
