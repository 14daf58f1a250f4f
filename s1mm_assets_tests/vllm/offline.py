"""What vLLM answers without a server: reads conversations as JSON on stdin, writes the answers as JSON.

Run as `python -m s1mm_assets_tests.vllm.offline MODEL MAX_MODEL_LEN MAX_TOKENS`.
"""

import json
import os
import sys


def main(model: str, max_model_len: int, max_tokens: int) -> None:
    """Answer greedily, each conversation on its own."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM talks on stdout
    from vllm import LLM, SamplingParams

    llm = LLM(
        model=model,
        dtype="float32",
        max_model_len=max_model_len,
        limit_mm_per_prompt={"image": 1, "video": 0},
        mm_processor_cache_gb=0,
        generation_config="vllm",
        enforce_eager=True,
    )
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
    outputs = [llm.chat(messages, sampling, use_tqdm=False)[0] for messages in json.load(sys.stdin)]
    with answers:
        json.dump([output.outputs[0].text for output in outputs], answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
