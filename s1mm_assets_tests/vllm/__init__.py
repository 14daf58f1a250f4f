"""Tests that run a real vLLM. `make test-vllm` installs it in an environment of its own; elsewhere they skip, or in CI fail."""
