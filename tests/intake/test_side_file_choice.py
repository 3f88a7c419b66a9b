"""What a user finds beside the weights of the bigger model, file by file."""

import pytest

from distexpand.intake.side_files import is_side_file, is_tokenizer_file

TOKENIZER = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "qwen.tiktoken",
    "tokenization_qwen.py",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/rag.jinja",
]
OTHERS = [
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "modeling_internlm2.py",
    "configuration_internlm2.py",
    "LICENSE",
    "LICENSE.txt",
    "license.md",
    "LICENCE",
    "NOTICE",
    "COPYING",
    "USE_POLICY.md",
    "requirements.txt",
    "quantize_config.json",
]
LEFT = [
    "config.json",
    "README.md",
    "README_zh.md",
    "readme.txt",
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "model.safetensors.index.json",
    "consolidated.safetensors",
    "pytorch_model.bin",
    "pytorch_model-00001-of-00002.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
    "flax_model.msgpack.index.json",
    "model.onnx",
    "onnx/model.onnx",
    "llama.Q4_K_M.gguf",
    "training_args.bin",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "zero_to_fp32.py",
    "latest",
    "mergekit_config.yml",
    "params.json",
    "original/params.json",
    "original/tokenizer.model",
    "adapter_config.json",
    "adapter_model.safetensors",
    "checkpoint-500/tokenizer.json",
    "runs/events.out.tfevents.1",
    "code/helper.py",
    "venv/lib/site.py",
    "logo.png",
    "assets/figure.jpg",
    "paper.pdf",
    ".gitattributes",
    ".gitignore",
    ".git/config",
    ".DS_Store",
    "distexpand.json",
    "distexpand.json.zst",
    "UNFINISHED.txt",
    "tokenizer\n.json",
    "tokenizer\x1b[2J.json",
    "tokenizer\udcff.json",
]


@pytest.mark.parametrize("name", [*TOKENIZER, *OTHERS])
def test_carried_over(name):
    assert is_side_file(name)


@pytest.mark.parametrize("name", LEFT, ids=ascii)
def test_left(name):
    assert not is_side_file(name)


@pytest.mark.parametrize("name", TOKENIZER)
def test_of_the_tokenizer(name):
    assert is_tokenizer_file(name)


@pytest.mark.parametrize("name", OTHERS)
def test_not_of_the_tokenizer(name):
    assert not is_tokenizer_file(name)
