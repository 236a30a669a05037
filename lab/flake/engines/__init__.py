"""The lab's engines: servers that speak the APIs of Ollama and ComfyUI and compute nothing."""
