"""What looks like a credential is refused, by its kind, and never repeated; recipes pass."""

import pytest

from distexpand.errors import UsageError
from distexpand.jobs.credentials import refuse_credentials
from tests.recipe.published import PUBLISHED

SECRET = "s3cr3tS3CR3Ts3cr3tS3CR3Ts3cr3tS3CR3Ts3cr3t"
LOOKS = {
    "a Hugging Face token": f"hf_{SECRET}",
    "an AWS access key": "key: AKIAIOSFODNN7EXAMPLE",
    "a GitHub token": f"ghp_{SECRET}",
    "an API token": f"sk-{SECRET}",
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a URL with user name or password": f"git+https://user:{SECRET}@host/repository",
    "a signed URL": f"https://host/file?x=1&X-Amz-Signature={SECRET}",
    "a named secret": f"aws_secret_access_key = {SECRET}",
}


@pytest.mark.parametrize("kind", LOOKS)
def test_kinds(kind: str) -> None:
    text = f"model: a\n# {LOOKS[kind]}\n"
    with pytest.raises(UsageError) as raised:
        refuse_credentials({"recipe.yml": text}, environment={})
    assert raised.value.message == f"recipe.yml, line 2: holds what looks like {kind}"
    assert SECRET not in raised.value.message + raised.value.hint


@pytest.mark.parametrize("words", ["password: {}", "api_key={}", "token: '{}'", "HF_TOKEN={}", "secret={}"])
def test_named_secrets(words: str) -> None:
    with pytest.raises(UsageError, match="looks like a named secret"):
        refuse_credentials({"x": words.format(SECRET)}, environment={})


def test_values_of_the_environment() -> None:
    environment = {"MY_PASSWORD": "correct horse", "HOME": "/root", "SSH_KEY": "/root/key", "A_TOKEN": "x"}
    refuse_credentials({"x": "/root /root/key x horse"}, environment=environment)
    with pytest.raises(UsageError, match="the environment's MY_PASSWORD") as raised:
        refuse_credentials({"x": "it is correct horse battery"}, environment=environment)
    assert "horse" not in raised.value.message


def test_ordinary_texts_pass() -> None:
    texts = {name: published.text for name, published in PUBLISHED.items()} | {
        "tokens": "tokenizer_source: base\ntokenizer: {tokens: {x: y}}\nembed_tokens: 1",
        "places": "NAME=/models/sk-learn/hf_models/AKIA",
        "languages": "org/mistral-7b-sk-instruct-finetuned-v2, /models/hf_checkpointconverted",
        "special tokens": "pad_token: <|endoftext|>\neos-token: <|endoftext|>",
        "pip": "torch>=2.6",
        "url": "https://huggingface.co/mistralai/Mistral-7B-v0.1@main",
    }
    model = "mistralai/Mistral-7B-v0.1"
    refuse_credentials(texts | {"model": model}, environment={"TOKENIZER_MODEL": model})
