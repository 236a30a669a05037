"""The node classes the lab's ComfyUI knows, and what its validate_prompt (execution.py) refuses."""

from .http import HttpError

Prompt = dict[str, dict[str, object]]

# Class name: (inputs that must be there, whether it is an output node).
CLASSES: dict[str, tuple[tuple[str, ...], bool]] = {
    "CheckpointLoaderSimple": (("ckpt_name",), False),
    "CLIPTextEncode": (("text", "clip"), False),
    "EmptyImage": (("width", "height", "batch_size", "color"), False),
    "EmptyLatentImage": (("width", "height", "batch_size"), False),
    "KSampler": (
        (
            "model",
            "seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "positive",
            "negative",
            "latent_image",
            "denoise",
        ),
        False,
    ),
    "LoadImage": (("image",), False),
    "PreviewImage": (("images",), True),
    "SaveImage": (("images", "filename_prefix"), True),
    "VAEDecode": (("samples", "vae"), False),
}


def object_info(only: str | None = None) -> dict[str, object]:
    """Return what /object_info says, of one class or of all."""
    return {
        name: {
            "input": {"required": {one: ["*", {}] for one in inputs}},
            "output_node": output,
            "name": name,
            "display_name": name,
            "category": "lab",
            "python_module": "nodes",
        }
        for name, (inputs, output) in CLASSES.items()
        if only in {None, name}
    }


def validated(document: dict[str, object]) -> Prompt:
    """Return the prompt of a POST /prompt.

    Raises:
        HttpError: 400 with ComfyUI's error object and node_errors, where it cannot run.
    """
    prompt = document.get("prompt")
    if prompt is None:
        raise _refusal("no_prompt", "No prompt provided")
    if not isinstance(prompt, dict) or not prompt:
        raise _refusal("prompt_no_outputs", "Prompt has no outputs")
    wrong = {str(node): found for node, content in prompt.items() if (found := _problem(content))}
    if wrong:
        node, problem = next(iter(wrong.items()))
        raise _refusal(str(problem["type"]), str(problem["message"]), f"Node ID '#{node}'", _node_errors(prompt, wrong))
    if not any(CLASSES[node["class_type"]][1] for node in prompt.values()):
        raise _refusal("prompt_no_outputs", "Prompt has no outputs")
    return prompt


def _problem(content: object) -> dict[str, object] | None:
    class_type = content.get("class_type") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(class_type, str):
        return {
            "type": "invalid_prompt",
            "message": "Cannot execute because a node is missing the class_type property.",
        }
    if class_type not in CLASSES:
        return {
            "type": "missing_node_type",
            "message": f"Node '{class_type}' not found. The custom node may not be installed.",
        }
    given = content.get("inputs")
    missing = [one for one in CLASSES[class_type][0] if not isinstance(given, dict) or one not in given]
    if missing:
        return {
            "type": "required_input_missing",
            "message": f"Required input is missing: {', '.join(missing)}",
        }
    return None


def _node_errors(prompt: dict[str, object], wrong: dict[str, dict[str, object]]) -> dict[str, object]:
    def class_of(node: str) -> object:
        content = prompt[node]
        return content.get("class_type") if isinstance(content, dict) else None

    return {
        node: {
            "errors": [{**problem, "details": "", "extra_info": {}}],
            "dependent_outputs": [],
            "class_type": class_of(node),
        }
        for node, problem in wrong.items()
    }


def _refusal(kind: str, message: str, details: str = "", node_errors: dict[str, object] | None = None) -> HttpError:
    error = {"type": kind, "message": message, "details": details or message, "extra_info": {}}
    return HttpError(400, {"error": error, "node_errors": node_errors or {}})
