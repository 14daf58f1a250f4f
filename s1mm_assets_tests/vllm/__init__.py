"""Tests that run a real vLLM. `make test-vllm` installs it apart; without it they skip, and in CI fail."""
