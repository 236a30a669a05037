"""The node classes the lab's ComfyUI knows, and what its validate_prompt (execution.py) refuses."""

from dataclasses import dataclass

from .http import HttpError

Prompt = dict[str, dict[str, object]]

_WIDTH = ("INT", {"default": 64, "min": 16, "max": 4096})
_COUNT = ("INT", {"default": 1, "min": 0, "max": 1 << 32})
_PART = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 100.0})
_WORDS = ("STRING", {"multiline": True})


@dataclass(frozen=True)
class NodeClass:
    """One class of nodes.

    Attributes:
        inputs: each with its type, or its type and options, as /object_info has them; all must be there.
        outputs: types.
        shown: whether it is an output node.
    """

    inputs: dict[str, object]
    outputs: tuple[str, ...] = ()
    shown: bool = False


CLASSES: dict[str, NodeClass] = {
    "CheckpointLoaderSimple": NodeClass({"ckpt_name": (["lab.safetensors"],)}, ("MODEL", "CLIP", "VAE")),
    "CLIPTextEncode": NodeClass({"text": _WORDS, "clip": ("CLIP",)}, ("CONDITIONING",)),
    "EmptyImage": NodeClass({"width": _WIDTH, "height": _WIDTH, "batch_size": _COUNT, "color": _COUNT}, ("IMAGE",)),
    "EmptyLatentImage": NodeClass({"width": _WIDTH, "height": _WIDTH, "batch_size": _COUNT}, ("LATENT",)),
    "KSampler": NodeClass(
        {
            "model": ("MODEL",),
            "seed": _COUNT,
            "steps": _COUNT,
            "cfg": _PART,
            "sampler_name": (["euler"],),
            "scheduler": (["normal"],),
            "positive": ("CONDITIONING",),
            "negative": ("CONDITIONING",),
            "latent_image": ("LATENT",),
            "denoise": _PART,
        },
        ("LATENT",),
    ),
    "LoadImage": NodeClass({"image": (["example.png"], {"image_upload": True})}, ("IMAGE", "MASK")),
    "PreviewImage": NodeClass({"images": ("IMAGE",)}, shown=True),
    "SaveImage": NodeClass({"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}, shown=True),
    "VAEDecode": NodeClass({"samples": ("LATENT",), "vae": ("VAE",)}, ("IMAGE",)),
}


def object_info(only: str | None = None) -> dict[str, object]:
    """Return what /object_info says, of one class or of all."""
    return {
        name: {
            "input": {"required": found.inputs},
            "input_order": {"required": list(found.inputs)},
            "output": found.outputs,
            "output_name": found.outputs,
            "output_is_list": [False] * len(found.outputs),
            "output_node": found.shown,
            "name": name,
            "display_name": name,
            "description": "",
            "category": "lab",
            "python_module": "nodes",
        }
        for name, found in CLASSES.items()
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
    if not any(CLASSES[str(node["class_type"])].shown for node in prompt.values()):
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
    missing = [one for one in CLASSES[class_type].inputs if not isinstance(given, dict) or one not in given]
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
